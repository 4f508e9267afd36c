"""HTTP connections: which are taken, how bytes come in and go out."""

from serving.front.connections.admission import Admission
from serving.front.connections.body import Bodies, Receive, Send
from serving.front.connections.connection import protocol_class

__all__ = ["Admission", "Bodies", "Receive", "Send", "protocol_class"]
