"""MLflow's runs, models, versions and aliases, and the ledger kept in them."""

from training.records.job import Job
from training.records.registry import copies, ledger, model_registry, signatures
from training.records.watch_run import MonitorRun, monitor_run

__all__ = [
    "Job",
    "MonitorRun",
    "copies",
    "ledger",
    "model_registry",
    "monitor_run",
    "signatures",
    "tag_names",
    "tracking",
]
