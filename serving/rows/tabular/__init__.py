"""CSV, Parquet and Arrow bodies -> columns, bounded before they are decoded; imports pyarrow."""

from serving.rows.tabular.batches import open_batches

__all__ = ["open_batches"]
