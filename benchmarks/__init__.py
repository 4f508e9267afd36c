"""Side-by-side measurements. Each module prints its own table; see docs for how to read them."""
