"""The collector: an HTTP server that answers for a beacon once its segment is durable."""

from .application import Collector
from .backlog import Backlog, Refused
from .bodies import Unacceptable, beacons_of
from .server import Server

__all__ = ["Backlog", "Collector", "Refused", "Server", "Unacceptable", "beacons_of"]
