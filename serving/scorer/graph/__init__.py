"""Whether a graph may run at all: read byte by byte, its operators and shapes bounded."""
