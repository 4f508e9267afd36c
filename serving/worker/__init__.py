"""One process that answers requests, started by the fleet as `python -m serving.worker FD`.

__main__           two model files and a listening socket -> a server that is ready
draining_server    it does what its parent orders, and drains
"""

from serving.worker.draining_server import DrainingServer

__all__ = ["DrainingServer"]
