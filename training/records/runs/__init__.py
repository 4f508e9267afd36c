"""MLflow's runs: in which experiment one is kept, how the UI shows them, and which process one belongs to."""

from training.records.runs.processes import is_gone, this_process

__all__ = ["experiments", "is_gone", "this_process", "views"]
