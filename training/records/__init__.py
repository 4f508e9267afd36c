"""MLflow's runs, models, versions and aliases, and the ledger kept in them."""

from training.records.job import Job

__all__ = ["Job", "ledger", "model_registry", "tag_names", "tracking"]
