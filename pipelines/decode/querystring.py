"""Beacons whose fields are the parameters of a URL: ``GET /b.gif?publisher=p1&ts=…``."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from . import percent
from .decoder import Decoder, Rejections
from .lines import Lines
from .parameters import parameters


class QueryString(Decoder):
    """Decodes the parameters of a query string or of a form.

    A line may be a request line, a URL, a path with its query, or a bare query string: see
    `parameters` for what the query is. ``%XX`` is the byte of that number and ``+`` a space, as in
    forms (WHATWG URL Standard). Of a repeated parameter the first value counts.

    See `Decoder` for the parameters of a decoder.

    Examples
    --------
    >>> decoder = QueryString(publisher=pl.String, price=pl.Decimal(18, 6), defaults={"price": 0})
    >>> rows, rejected = decoder.decode(
    ...     pl.Series([b"/b.gif?publisher=p%201&price=0.5", b"publisher=p2", b"/b.gif?price=1e3"])
    ... )
    >>> rows.rows()
    [(0, 'p 1', Decimal('0.500000')), (1, 'p2', Decimal('0.000000'))]
    >>> rejected.rows()
    [(2, 'price: not a decimal(18,6)')]
    """

    kind = "querystring"

    def extract(self, lines: Lines, rejections: Rejections) -> Mapping[str, pl.Series]:
        """Find the text of each field: see `Decoder.extract`."""
        rejections.add(lines.text.str.contains("^\r?$"), "empty line")
        return query_fields(lines, self._sources(), rejections)


def query_fields(
    lines: Lines, sources: Mapping[str, str], rejections: Rejections
) -> dict[str, pl.Series]:
    """Find and decode parameters.

    Parameters
    ----------
    lines
        Lines that hold query strings.
    sources
        The parameter that each field is read from.
    rejections
        Where to say which values are not UTF-8.

    Returns
    -------
    dict
        For each field a column of String, null where the line does not have it.
    """
    if not sources:
        return {}
    encoded = parameters(lines, list(dict.fromkeys(sources.values())))
    texts = {}
    for name, source in sources.items():
        texts[name], invalid = percent.text(encoded[source], lines.foreign)
        rejections.add(invalid, f"{name}: not UTF-8")
    return texts
