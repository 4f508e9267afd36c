"""What is wrong with a table before anything is learned from it."""
