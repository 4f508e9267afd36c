"""What can be wrong with a table, or with the way it was asked for.

    DataError
    ├── SourceError          a table cannot be read
    │   ├── SourceNotFound
    │   ├── EmptySource
    │   ├── UnreadableSource
    │   └── BrokenLine
    ├── TableError           a table was read and cannot be used
    │   ├── DuplicateColumns
    │   ├── MissingColumn
    │   ├── UnusableTarget
    │   ├── TooFewRows
    │   └── UnrepresentableNumber
    └── SplitError           rows cannot be assigned as asked

Each class takes the facts as keywords, keeps them as attributes, and says what, where, found and the repair.
"""

from __future__ import annotations


class DataError(Exception):
    """Anything the user can mend in the table or in the way it is named."""
