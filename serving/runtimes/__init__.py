"""What answers rows: the compiled graph in this process, or MLflow's pyfunc in processes of its own."""
