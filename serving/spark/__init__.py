"""A registered version on the rows of a Spark DataFrame: `serving.spark.score`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use

if TYPE_CHECKING:
    from serving.spark.partitions import score

__all__ = ["score"]

__getattr__ = at_first_use(__name__, {"score": "partitions"})
