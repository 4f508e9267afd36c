"""What earlier versions of a name say of its rows: how they are split, where they came from, and the rows again.

kept_split      the split that a name has, for good
known_tables    where the name's table is, and the table
how_read        how a version's table was read
known_rows      a version's own rows, packed as the server packs them
known_parts     some of them, of a table that memory does not hold
learned         whether a version has learned some of a table's rows
"""

from training.rows.known import how_read, known_parts, known_tables, learned
from training.rows.known.kept_split import load_split
from training.rows.known.known_rows import load_known

__all__ = ["how_read", "known_parts", "known_tables", "learned", "load_known", "load_split"]
