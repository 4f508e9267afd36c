"""Versions and aliases in MLflow's model registry, and the ledger of who is champion."""

__all__ = ["copies", "ledger", "model_registry", "signatures"]
