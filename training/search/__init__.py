"""Which model to fit: specifications compete by cross-validation on the training rows."""
