"""CSV, Parquet and Arrow bodies -> columns, bounded before they are decoded; imports pyarrow."""

from serving.rows.tabular.batches import check_parquet, open_batches

__all__ = ["check_parquet", "open_batches"]
