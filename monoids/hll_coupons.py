"""Coupons: what HyperLogLog keeps of a value.

A coupon is 32 bits of the value's MurmurHash3 (x64, 128 bits, seed 9001): the *address*, the low
26 bits of the hash's first half, and above it the *rank*, one more than the leading zeros of the
second half (1 to 63). A sketch of ``2**lg_k`` registers takes its slot from the address's low
bits. These are the coupons of Apache DataSketches (datasketches.apache.org), bit for bit.
"""

from __future__ import annotations

from typing import Final

import polars as pl
import polars_hash as plh

SEED: Final = 9001
ADDRESS_BITS: Final = 26
ADDRESS: Final = (1 << ADDRESS_BITS) - 1
MAX_RANK: Final = 63
EMPTY: Final = 0  # of an empty string; every true coupon has a rank, so none is 0


def can_hash(dtype: pl.DataType) -> bool:
    """Say whether values of a data type have coupons: text, bytes, integers up to 64 bits."""
    wide = dtype in {pl.Int128(), pl.UInt128()}
    return dtype in {pl.String(), pl.Binary()} or (dtype.is_integer() and not wide)


def coupon(values: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Give each value's coupon.

    Parameters
    ----------
    values
        Text (hashed as UTF-8), bytes, or integers (hashed as 64-bit ones, whatever their width).
    dtype
        Their data type, one that `can_hash`.

    Returns
    -------
    pl.Expr
        ``coupon``, UInt32, row by row: null for null, and `EMPTY` for empty text, which
        DataSketches ignores.

    Examples
    --------
    >>> frame = pl.DataFrame({"user": ["ann", "", None], "id": [1, -1, None]})
    >>> frame.select(coupon(pl.col("user"), pl.String())).to_series().to_list()
    [73404920, 0, None]
    >>> frame.select(coupon(pl.col("id"), pl.Int64())).to_series().to_list()
    [117174827, 199714009, None]
    """
    if dtype.is_integer():
        wide = values if dtype == pl.UInt64 else values.cast(pl.Int64)
        values, dtype = plh.BytesNameSpace(wide).to_le(), pl.Binary()
    size = values.str.len_bytes() if dtype == pl.String else values.bin.size()
    hashed = plh.NonCryptographicHashingNameSpace(values).murmur128(seed=SEED)
    # A struct's field is computed once; an expression used twice would hash twice.
    whole = pl.field("hash")
    address = whole.cast(pl.UInt32, wrap_numerical=True) & pl.lit(ADDRESS, dtype=pl.UInt32)
    rank = whole.bitwise_leading_zeros().clip(0, MAX_RANK - 1) + pl.lit(1, dtype=pl.UInt32)
    coupons = (
        pl.struct(hash=hashed)
        .struct.with_fields(coupon=address + rank * pl.lit(ADDRESS + 1, dtype=pl.UInt32))
        .struct.field("coupon")
    )
    empty = pl.lit(EMPTY, dtype=pl.UInt32)
    return pl.when(size.ne_missing(0)).then(coupons).otherwise(empty)
