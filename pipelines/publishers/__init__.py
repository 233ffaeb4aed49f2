"""Where beacons are sent to, for tests and demos: one kind a file, opened by its URL."""

from .file import FilePublisher
from .publisher import Publisher, PublishFailed
from .url import open_publisher

__all__ = ["FilePublisher", "PublishFailed", "Publisher", "open_publisher"]
