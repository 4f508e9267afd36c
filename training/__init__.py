"""Rows become a fitted, measured, registered and promoted model. Knows `data` and `serving`."""
