"""Dense Keras networks as pieces of the graph."""

from training.compiling.keras.networks import (
    FLOAT32_TOLERANCE,
    Network,
    adapted,
    compiled_network,
    load_network,
    packages,
)

__all__ = ["FLOAT32_TOLERANCE", "Network", "adapted", "compiled_network", "load_network", "packages"]
