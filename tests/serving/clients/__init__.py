"""Clients as they are, each run by an environment that has it: a JSON object on stdin, one on stdout."""
