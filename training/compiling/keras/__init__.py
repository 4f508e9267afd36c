"""Dense Keras networks as pieces of the graph."""
