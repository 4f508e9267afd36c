"""What programs keep for themselves beside a table's files: `_temporary/`, `.ipynb_checkpoints/`, `_SUCCESS`."""

from __future__ import annotations

from fnmatch import fnmatch


def is_hidden(path: str, glob: str = "") -> bool:
    """Return whether a name on a path begins as theirs do, and a glob does not ask for it in as many words.

    A folder such as `_year=2012` is a column.

    >>> is_hidden("_temporary/0/a.parquet"), is_hidden("_year=2012/a.parquet"), is_hidden("_old/a.csv", "_o*/*.csv")
    (True, False, False)
    """
    *folders, name = path.split("/")
    kept = [each for each in folders if each.startswith((".", "_")) and "=" not in each]
    if name.startswith((".", "_")):
        kept.append(name)
    asked = [each for each in glob.split("/") if each.startswith((".", "_"))]
    return any(not any(fnmatch(each, word) for word in asked) for each in kept)
