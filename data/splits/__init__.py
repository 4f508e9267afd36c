"""Which rows a model learns from, is calibrated on and is judged by, and how much each counts."""
