"""HTTP connections: which are taken, how bytes come in and go out."""
