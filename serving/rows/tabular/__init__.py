"""CSV, Parquet and Arrow bodies -> columns, bounded before they are decoded; imports pyarrow."""
