"""The parent's work: workers that run, and the versions that they are told to serve."""
