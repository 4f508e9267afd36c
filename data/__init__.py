"""What a row is, where rows come from, how they are checked and split. Knows neither models nor MLflow."""
