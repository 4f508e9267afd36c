"""`_manifest.json`: the folder is whole, and these are its parts.

It begins with an underscore, since pandas, pyarrow and Spark read every other file of a folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from serving.batch.outputs import PartFolder

MANIFEST = "_manifest.json"
LAYOUT = 2
"""Of the folder: part of each name, so that another layout makes other parts."""


def manifest_of(said: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the file's bytes; of each part it says `file`, `rows`, `sha256` and `input`."""
    return json.dumps({"layout": LAYOUT, **said, "parts": parts}, indent=1).encode() + b"\n"


def said_of(folder: PartFolder) -> dict[str, str] | None:
    """Return the digest of each part that the manifest names, none where it is broken, None where there is none."""
    if folder.size(MANIFEST) is None:
        return None
    try:
        with folder.opened(MANIFEST) as file:
            return {part["file"]: part["sha256"] for part in json.load(file)["parts"]}
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError):
        return {}
