"""The tests, in the order of the packages; end_to_end drives the real commands."""
