"""Which version is meant, who vouches for it, and its files on this machine."""
