"""MLflow's runs, models, versions and aliases, and the ledger kept in them."""
