"""A command's table: opened, checked, split as the name's versions share it, and described."""
