"""Arrays in, figures and their doubt out: errors, intervals of the errors, coverage, learning curves."""
