"""Our own packages as an archive, which has the same bytes wherever it is made."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def our_code(packages: Sequence[str]) -> tuple[str, bytes]:
    """Return the archive's digest and its bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for package in packages for path in (ROOT / package).rglob("*.py")):
            archive.writestr(zipfile.ZipInfo(str(path.relative_to(ROOT))), path.read_bytes())
    return hashlib.sha256(content.getvalue()).hexdigest()[:16], content.getvalue()
