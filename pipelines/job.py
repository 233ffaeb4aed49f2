"""The job: Map → Aggregate, declared once and run anywhere.

A job is pure. The memory run, the live stream and the replay are three ways to call the same three
functions: `Job.fold`, `Job.plus` and `Job.present`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

import polars as pl

from ..monoids import Aggregator, Lifted, Monoid, Product
from ..monoids.dtypes import as_dtype, dtype_name
from ..monoids.expression import OpaqueExpression, opaque_as
from ..stores import Generation, Retention
from ..stores.times import parse_duration
from .decode import Decoded, Decoder
from .decode.per_row import VALUE, PerRow
from .fingerprint import fingerprint
from .window import TumblingWindow, check_event_time

LAYOUT = 1
"""The layout of a job's declaration."""

RESERVED = frozenset({"row", "window", "raw"})
"""Column names that mean something to every job."""


class Folded(NamedTuple):
    """What a job makes of some beacons: their partials, and the beacons it could not decode."""

    partials: pl.DataFrame
    rejected: pl.DataFrame
    """``row: UInt32, reason: String``."""


@dataclass(frozen=True, eq=False)
class Job:
    """A definition of what to count: decoder, event time, window, key and aggregates.

    Parameters
    ----------
    name
        Letters, digits, ``-``, ``_`` and ``.``; a store keeps its results under this name.
    decode
        How raw bytes become columns: `QueryString`, `JsonLines`, `Delimited` or `AccessLog`.
    event_time
        The column that says when it happened: a ``Datetime``. Beacons without it are set aside.
    window
        The width of the tumbling windows: ``"1m"``, ``"10m"``, ``"1h"``. None: no windows.
    key
        The columns to group by. Null is a group of its own, as in SQL.
    aggregate
        Named aggregators; their product is the job's monoid.
    version
        Needed where the definition holds what cannot be compared (a Python function): change it
        whenever the meaning changes.
    retention
        How long a store keeps windows of each width before it merges them into the next wider
        ones: ``{"1m": "7d", "1h": "90d", "1d": None}`` (None: for ever). The first width is the
        job's own. Not part of the fingerprint. None: everything is kept as it is.

    Raises
    ------
    TypeError, ValueError
        The parts do not fit: a column that is not decoded, an aggregate of the wrong dtype, …

    Notes
    -----
    Source: the *prepare, monoid, present* triple is Algebird's ``Aggregator``; one definition for
    batch and stream is Summingbird's (Boykin et al., VLDB 2014).

    Examples
    --------
    >>> from beaconfold import Count, Job, QueryString
    >>> clicks = Job(
    ...     "clicks",
    ...     decode=QueryString(publisher=pl.String, ts=pl.Datetime("ms", "UTC")),
    ...     event_time="ts",
    ...     window="1m",
    ...     key=["publisher"],
    ...     aggregate={"beacons": Count()},
    ... )
    >>> clicks.run(["/b.gif?publisher=p1&ts=1", "/b.gif?publisher=p1&ts=59999"])["beacons"].item()
    2
    """

    name: str
    _: KW_ONLY
    decode: Decoder
    key: Sequence[str]
    aggregate: Mapping[str, Aggregator]
    event_time: str | None = None
    window: str | None = None
    version: str | None = None
    retention: Mapping[str, str | None] | Retention | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit together, so that errors are found before the first beacon."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise ValueError(f"job name {self.name!r}: use letters, digits, '-', '_' and '.'")
        keys = [self.key] if isinstance(self.key, str) else list(self.key)
        object.__setattr__(self, "key", tuple(keys))
        object.__setattr__(self, "aggregate", dict(self.aggregate))
        schema = self.decode.schema
        for column in (*keys, *([self.event_time] if self.event_time else [])):
            if column not in schema:
                raise ValueError(
                    f"job {self.name!r}: {column!r} is not decoded; there are: {', '.join(schema)}"
                )
        names = [*keys, *self.aggregate]
        if twice := {name for name in names if names.count(name) > 1} | (RESERVED & set(names)):
            raise ValueError(
                f"job {self.name!r}: rename {', '.join(sorted(twice))}: used twice or reserved"
            )
        if not keys or not self.aggregate:
            raise ValueError(f"job {self.name!r} needs a key and an aggregate")
        self._check_window()
        if floats := [name for name in keys if schema[name].is_float()]:
            raise TypeError(f"job {self.name!r}: key {floats[0]!r} is a float; cast or round it")
        try:
            Generation.declared(self.declaration)
        except OpaqueExpression as error:
            raise ValueError(
                f"job {self.name!r}: {error}, so changes of it would go unseen: "
                "give the job a version= and change that with it"
            ) from None

    def _check_window(self) -> None:
        if (self.event_time is None) != (self.window is None):
            raise ValueError(f"job {self.name!r}: event_time= and window= go together")
        if self.event_time is not None:
            check_event_time(self.event_time, self.decode.schema[self.event_time])
        if self.retention is not None:
            window = parse_duration(self.window) if self.window else None
            object.__setattr__(self, "retention", Retention.parse(self.retention).check(window))

    @classmethod
    def per_row(
        cls,
        *,
        name: str,
        version: str,
        map: Callable[[bytes], Iterable[tuple[Any, Any]]],  # noqa: A002 - the talk's word
        monoid: Monoid[Any],
        key: Mapping[str, pl.DataType | type[pl.DataType]] | None = None,
        dtype: pl.DataType | type[pl.DataType] | None = None,
        present: Callable[[Any], object] | None = None,
    ) -> Job:
        """Make a job of any Python map and any monoid over Python values, a row at a time.

        The talk's own form: slower by orders of magnitude than columns, and as correct as the
        monoid is lawful.

        Parameters
        ----------
        version
            Change it whenever ``map`` or ``monoid`` changes its meaning.
        map
            From a beacon's bytes to ``(key, value)`` pairs. A beacon for which it raises is set
            aside with the exception as its reason.
        monoid
            Values are kept by its ``encode`` and ``decode`` (JSON unless it says otherwise).
        key
            Names and dtypes of the key's columns, if it is not one string named ``key``.
        dtype
            Of the results; needed where ``monoid.zero`` is no number, text or bytes.
        present
            From a value to what is shown; the value itself unless given.

        Examples
        --------
        >>> from beaconfold import Job, Monoid
        >>> class Longest(Monoid[str]):
        ...     commutative, idempotent, zero = True, True, ""
        ...     def plus(self, left, right):
        ...         return max(left, right, key=lambda text: (len(text), text))
        >>> job = Job.per_row(
        ...     name="longest", version="1", monoid=Longest(),
        ...     map=lambda raw: [(raw[:1].decode(), raw.decode())],
        ... )
        >>> job.run([b"abc", b"ab", b"x"]).rows()
        [('a', 'abc'), ('x', 'x')]
        """
        decode = PerRow(map, encode=monoid.encode, key=key or {"key": pl.String})
        value = Lifted(
            monoid,
            VALUE,
            prepare=monoid.decode,
            result=present,
            dtype=as_dtype(dtype or _dtype_of(monoid.zero)),
            version=version,
        )
        return cls(
            name, decode=decode, key=[*decode.key], aggregate={VALUE: value}, version=version
        )

    @cached_property
    def product(self) -> Product:
        """The product of the aggregates, bound to the decoder's dtypes."""
        return Product(self.aggregate).bind(self.decode.schema)

    @cached_property
    def declaration(self) -> dict[str, Any]:
        """What a store keeps of the job: plain JSON, enough to merge and to query."""
        schema = self.decode.schema
        with opaque_as(self.version):
            definition: dict[str, Any] = {
                "layout": LAYOUT,
                "decode": self.decode.declare(),
                "event_time": self.event_time,
                "window_us": parse_duration(self.window) if self.window else None,
                "keys": {name: dtype_name(schema[name]) for name in self.key},
                "aggregates": self.product.declare(),
                "version": self.version,
            }
        return {"job": self.name, "fingerprint": fingerprint(definition), **definition}

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits: changes when, and only when, the definition does."""
        return cast("str", self.declaration["fingerprint"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[str, str]:
        return self.name, self.fingerprint

    @cached_property
    def by(self) -> list[str]:
        """The columns that make a cell: the key's, and the window's start."""
        return [*self.key, *(["window"] if self.window else [])]

    def fold(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Fold beacons into partials: one state for each key, window and aggregate.

        Parameters
        ----------
        rows
            A column ``raw`` of bytes or text, or the decoded columns themselves.

        Returns
        -------
        pl.DataFrame
            The key columns, ``window: Datetime("us", "UTC")`` and a state for each aggregate.
        """
        return self.fold_all(rows).partials

    def fold_all(self, rows: pl.DataFrame) -> Folded:
        """Fold beacons, and say which ones could not be decoded and why."""
        decoded = self._decoded(rows)
        if self.event_time is None or self.window is None:
            return Folded(self.product.fold(decoded.rows, self.by), decoded.rejected)
        timed, event_time = decoded.rows, pl.col(self.event_time)
        rejected = decoded.rejected
        if timed[self.event_time].null_count():
            untimed = timed.filter(event_time.is_null()).select(
                "row", reason=pl.lit(f"{self.event_time}: missing, and it is the event time")
            )
            rejected = pl.concat([rejected, untimed]).sort("row")
            timed = timed.filter(event_time.is_not_null())
        window = TumblingWindow(parse_duration(self.window)).start(event_time)
        return Folded(self.product.fold(timed.with_columns(window=window), self.by), rejected)

    def plus(self, *partials: pl.DataFrame) -> pl.DataFrame:
        """Merge partials: associative and commutative, to the byte."""
        return self.product.plus(partials or [self.empty], self.by)

    def present(self, partials: pl.DataFrame) -> pl.DataFrame:
        """Turn partials into results, sorted by key and window."""
        return self.product.present(partials).select(*self.by, *self.aggregate).sort(self.by)

    def run(self, beacons: Iterable[bytes | str] | pl.Series | pl.DataFrame) -> pl.DataFrame:
        """Run in memory: how a job is tested.

        Returns
        -------
        pl.DataFrame
            The key columns, ``window`` and the aggregates, sorted by key and window.
        """
        return self.present(self.fold(_frame(beacons)))

    def rejected(self, beacons: Iterable[bytes | str] | pl.Series | pl.DataFrame) -> pl.DataFrame:
        """Say which beacons the job would set aside: ``row``, ``reason`` and ``raw`` bytes."""
        frame = _frame(beacons)
        rejected = self.fold_all(frame).rejected
        return rejected.with_columns(raw=frame["raw"].gather(rejected["row"]))

    @cached_property
    def empty(self) -> pl.DataFrame:
        """The partials of no beacons at all: the identity of `plus`."""
        return self.fold(pl.DataFrame(schema={"raw": pl.Binary}))

    def _decoded(self, rows: pl.DataFrame) -> Decoded:
        if "raw" in rows.columns:
            return self.decode.decode(rows["raw"])
        if missing := [name for name in self.decode.schema if name not in rows.columns]:
            raise ValueError(
                f"job {self.name!r} folds a column 'raw', or decoded columns; "
                f"missing: {', '.join(missing)}"
            )
        rejected = pl.DataFrame(schema={"row": pl.UInt32, "reason": pl.String})
        return Decoded(rows.drop("row", strict=False).with_row_index("row"), rejected)


def _dtype_of(zero: object) -> type[pl.DataType]:
    dtypes: dict[type, type[pl.DataType]] = {
        bool: pl.Boolean,
        int: pl.Int64,
        float: pl.Float64,
        str: pl.String,
        bytes: pl.Binary,
    }
    if type(zero) not in dtypes:
        raise TypeError(
            f"results are {type(zero).__name__}: give dtype=, and present= to turn them into it"
        )
    return dtypes[type(zero)]


def _frame(beacons: Iterable[bytes | str] | pl.Series | pl.DataFrame) -> pl.DataFrame:
    if isinstance(beacons, pl.DataFrame):
        return beacons
    if not isinstance(beacons, pl.Series):
        lines = [line.encode() if isinstance(line, str) else line for line in beacons]
        beacons = pl.Series(lines, dtype=pl.Binary)
    return pl.DataFrame({"raw": beacons.cast(pl.Binary)})
