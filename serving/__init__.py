"""A registered model answers: the scorer, the server and the batch job. Knows `data`, not `training`."""
