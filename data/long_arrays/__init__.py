"""Arrays of very many values, a block at a time; what is made of those in a file lies in a file, too."""

from data.long_arrays.in_files import beside, blocks, chosen, in_file, sorted_finite

__all__ = ["beside", "blocks", "chosen", "in_file", "sorted_finite"]
