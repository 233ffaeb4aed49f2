"""Beacons that are lines of a web server's access log, in the common or the combined format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl
from polars.datatypes import DataTypeClass

from ...monoids.expression import Json
from .decoder import Decoder, Rejections
from .field import Field
from .instants import common_log
from .lines import Lines, native
from .querystring import query_fields

_COMMON: Final = {
    "host": Field(pl.String),
    "logname": Field(pl.String),
    "user": Field(pl.String),
    "time": Field(pl.Datetime("us", "UTC")),
    "method": Field(pl.String),
    "path": Field(pl.String),
    "protocol": Field(pl.String),
    "status": Field(pl.Int64),
    "size": Field(pl.Int64),
}
_COMBINED: Final = {**_COMMON, "referer": Field(pl.String), "user_agent": Field(pl.String)}

# In the plain pattern every part ends where the next character can only begin another, so that it
# is read in one pass. The other takes what is rare: spaces in a user's name, garbled requests.
_QUOTED: Final = r'(?:[^"\\]|\\.)*'
_PLAIN: Final = (
    r"^([^ ]+) ([^ ]+) ([^ ]+) \[([^\]]*)\] "
    r'"([A-Z]+) ((?:[^ "\\]|\\.)*)(?: (HTTP/[0-9.]+))?"'
)
_RARE: Final = rf'^([^ ]+) ([^ ]+) (.+?) \[([^\]]*)\] "({_QUOTED})"'
_REQUEST: Final = r"^([A-Z]+) ([^ ]*)(?: (HTTP/[0-9.]+))?$"
_ANSWER: Final = " (-|[0-9]{3}) (-|[0-9]+)"
_AGENT: Final = f' "({_QUOTED})" "({_QUOTED})"'


@dataclass(frozen=True, init=False, eq=False, repr=False)
class AccessLog(Decoder):
    r"""Decodes access logs, and the parameters of the requests in them.

    Every line has the columns ``host``, ``logname``, ``user``, ``time`` (a ``Datetime`` in UTC),
    ``method``, ``path``, ``protocol``, ``status`` and ``size`` (``Int64``), and in the combined
    format ``referer`` and ``user_agent``. ``-`` is null. They are as the server wrote them: its
    escapes, such as ``\"`` and ``\xe9``, stay. Where the request is none (a scanner's garbage),
    ``method``, ``path`` and ``protocol`` are null.

    Parameters
    ----------
    format
        ``"common"`` (NCSA's) or ``"combined"`` (Apache's and nginx's default).
    **fields
        Parameters of the request's query string, decoded as by `QueryString`. See `Decoder` for
        these and for ``defaults`` and ``derive``.

    Examples
    --------
    >>> line = '1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET /b.gif?p=a%20b HTTP/1.0" 200 43'
    >>> rows, _ = AccessLog(format="common", p=pl.String).decode(pl.Series([line]))
    >>> rows.select("host", "time", "path", "size", "p").row(0)[2:]
    ('/b.gif?p=a%20b', 43, 'a b')
    """

    kind = "accesslog"

    format: Literal["common", "combined"]

    def __init__(
        self,
        *,
        format: Literal["common", "combined"] = "combined",  # noqa: A002 - what it is called
        defaults: Mapping[str, object] | None = None,
        derive: Mapping[str, pl.Expr] | None = None,
        **fields: pl.DataType | DataTypeClass | Field,
    ) -> None:
        if format not in {"common", "combined"}:
            raise ValueError(f"format: {format!r} is neither 'common' nor 'combined'")
        self._set(format=format)
        super().__init__(defaults=defaults, derive=derive, **fields)

    def options(self) -> dict[str, Json]:
        """Give the options that are not at their defaults: see `Decoder.options`."""
        return {"format": self.format} if self.format != "combined" else {}

    def extract(self, lines: Lines, rejections: Rejections) -> Mapping[str, pl.Series]:
        """Find the text of each field: see `Decoder.extract`."""
        parts, matched = self._parts(lines.text)
        rejections.add(~matched, f"not a {self.format} log line")
        texts: dict[str, pl.Series] = {}
        for name in self._built_in():
            texts[name], invalid = native(parts[name], lines.foreign)
            rejections.add(invalid, f"{name}: not UTF-8")
            if name in {"logname", "user", "status", "size", "referer", "user_agent"}:
                texts[name] = texts[name].set(texts[name] == "-", None)
        time = texts["time"]
        instants = common_log(time, "us")
        rejections.add(
            instants.is_null() & time.is_not_null(), self._misread("time", pl.Datetime())
        )
        texts["time"] = instants.cast(pl.Datetime("us", "UTC"))
        query = parts["path"].str.extract(r"^[^?#]*(\?[^#]*)").fill_null("")
        return texts | query_fields(Lines(query, lines.foreign), self._sources(), rejections)

    def _built_in(self) -> Mapping[str, Field]:
        return _COMMON if self.format == "common" else _COMBINED

    def _parts(self, text: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
        """Take lines apart: a column for each field, and whether it is a line of the format."""
        names = list(self._built_in())
        answer = _ANSWER + (_AGENT if self.format == "combined" else "") + r"\r?$"
        parts = text.str.extract_groups(_PLAIN + answer).struct.unnest()
        parts.columns = names
        rare = parts["host"].is_null().arg_true()
        if len(rare):
            of_rare = text.gather(rare).str.extract_groups(_RARE + answer).struct.unnest()
            request = of_rare.drop_in_place("5").str.extract_groups(_REQUEST).struct.unnest()
            columns = of_rare.get_columns()
            columns = [*columns[:4], *request.get_columns(), *columns[4:]]
            parts = parts.with_columns(
                parts[name].scatter(rare, column)
                for name, column in zip(names, columns, strict=True)
            )
        return parts, parts["host"].is_not_null()
