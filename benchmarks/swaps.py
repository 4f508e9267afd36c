"""A hundred swaps under load: `python -m benchmarks swaps` runs the soak test at length and shows its figures."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks.sizes import sized

TEST = "tests/serving/fleet/test_swaps.py::test_swaps_under_load_lose_nothing"


def main() -> int:
    """Run the test with its log shown."""
    root = Path(__file__).parent.parent
    shown = ["-o", "log_cli=true", "--log-cli-level=WARNING"]
    os.environ["SWAP_ROUNDS"] = "5"
    words = sized(shown, tiny=["--collect-only"])  # `make soak` runs the test itself
    return int(pytest.main([str(root / TEST), "-q", "-m", "soak", *words]))


if __name__ == "__main__":
    sys.exit(main())
