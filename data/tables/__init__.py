"""A table whose columns have kinds, and its content as a fingerprint."""
