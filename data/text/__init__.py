"""Delimited text: its encoding, its dialect, its header and where each record ends."""
