"""Raw beacons to typed columns: one decoder for each form that beacons come in."""

from .accesslog import AccessLog
from .decoder import Decoded, Decoder
from .delimited import Delimited
from .field import Field
from .jsonlines import JsonLines
from .querystring import QueryString

__all__ = ["AccessLog", "Decoded", "Decoder", "Delimited", "Field", "JsonLines", "QueryString"]
