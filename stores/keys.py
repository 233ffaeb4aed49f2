r"""Key columns as one canonical text, and the shard that a key belongs to.

The text is a row of PostgreSQL's COPY format: columns joined by a tab, null as ``\N``; backslash,
tab, newline, carriage return and NUL escaped. Integers and temporal columns are written as
integers, decimals with all digits of their scale, Booleans as ``t`` and ``f``, bytes as ``\x`` and
hexadecimal digits. Equal keys have equal texts: one column in any backend, readable there.

Source: https://www.postgresql.org/docs/current/sql-copy.html (text format).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
import polars_hash as plh

SEED = 9001
NULL = "\\N"
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\000"}
_WORD = pl.lit(2**64, dtype=pl.UInt128)


@dataclass(frozen=True)
class Keys:
    r"""The key columns of a job.

    Parameters
    ----------
    schema
        Names and dtypes of the key columns, in order.

    Raises
    ------
    TypeError
        If a dtype has no exact text: floats and nested dtypes.

    Examples
    --------
    >>> keys = Keys({"publisher": pl.String(), "country": pl.Int64()})
    >>> texts = keys.encode(pl.DataFrame({"publisher": ["p1", None], "country": [49, 1]}))
    >>> texts.to_list()
    ['p1\t49', '\\N\t1']
    >>> keys.decode(texts).rows()
    [('p1', 49), (None, 1)]
    """

    schema: Mapping[str, pl.DataType]

    def __post_init__(self) -> None:
        """Find columns that cannot be a key before the first one is written."""
        if not self.schema:
            raise TypeError("a store needs at least one key column")
        for name, dtype in self.schema.items():
            if dtype not in (pl.String, pl.Binary, pl.Boolean, pl.Decimal) and not (
                dtype.is_integer() or dtype.is_temporal()
            ):
                raise TypeError(f"key column {name!r} is {dtype}: use text, integers, or cast it")

    def encode(self, frame: pl.DataFrame) -> pl.Series:
        """Write the key columns of a frame as texts.

        Returns
        -------
        pl.Series
            ``key: String``, as long as the frame, no nulls.

        Raises
        ------
        TypeError
            If a key column is missing or has another dtype.
        """
        for name, dtype in self.schema.items():
            if name not in frame.columns:
                raise TypeError(f"no key column {name!r}; there are: {', '.join(frame.columns)}")
            if frame.schema[name] != dtype:
                raise TypeError(f"key column {name!r} is {frame.schema[name]}, expected {dtype}")
        columns = [_to_text(frame[name]).fill_null(NULL) for name in self.schema]
        return pl.select(pl.concat_str(columns, separator="\t").alias("key")).to_series()

    def decode(self, keys: pl.Series) -> pl.DataFrame:
        """Read the key columns back from their texts."""
        if len(self.schema) == 1:
            parts = [keys]
        else:
            fields = keys.str.split_exact("\t", len(self.schema) - 1).struct
            parts = [fields.field(field) for field in fields.fields]
        return pl.DataFrame(
            [
                _from_text(part, dtype).alias(name)
                for part, (name, dtype) in zip(parts, self.schema.items(), strict=True)
            ]
        )


def shard_of(keys: pl.Series, shards: int) -> pl.Series:
    """Tell the shard of each key: MurmurHash3 x64 128, seed 9001, low 64 bits, modulo `shards`.

    Parameters
    ----------
    keys
        Key texts, as `Keys.encode` writes them.
    shards
        Number of shards of the store.

    Returns
    -------
    pl.Series
        ``shard: Int64``.

    Examples
    --------
    >>> shard_of(pl.Series(["p1", "p2"]), 64).to_list()
    [38, 20]
    """
    low = plh.col("key").nchash.murmur128(seed=SEED) % _WORD
    shard = (low % pl.lit(shards, dtype=pl.UInt128)).cast(pl.Int64).alias("shard")
    return keys.alias("key").to_frame().select(shard).to_series()


def _to_text(column: pl.Series) -> pl.Series:
    """Write one column; nulls stay null."""
    dtype = column.dtype
    if dtype == pl.String:
        if not column.str.contains(r"[\\\t\n\r\x00]").any():
            return column
        return column.str.replace_many(list(_ESCAPES), list(_ESCAPES.values()))
    if dtype == pl.Binary:
        return pl.select(pl.lit("\\\\x") + column.bin.encode("hex")).to_series()
    if dtype == pl.Boolean:
        return column.replace_strict({True: "t", False: "f"}, return_dtype=pl.String)
    if dtype.is_temporal():
        column = column.to_physical()
    return column.cast(pl.String)


def _from_text(text: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Read one column back."""
    text = text.set(text == NULL, None)
    if dtype == pl.String:
        if not text.str.contains("\\", literal=True).any():
            return text
        return text.str.replace_many(list(_ESCAPES.values()), list(_ESCAPES))
    if dtype == pl.Binary:
        return text.str.slice(3).str.decode("hex")
    if dtype == pl.Boolean:
        return text == "t"
    if dtype.is_temporal():
        return text.cast(pl.Int64).cast(pl.Int32 if dtype == pl.Date else pl.Int64).cast(dtype)
    return text.cast(dtype)
