"""A version's folder, as stock MLflow loads it."""
