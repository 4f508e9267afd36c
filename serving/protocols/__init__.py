"""Thin shells: which keys stand around the rows of a request, and around its predictions."""
