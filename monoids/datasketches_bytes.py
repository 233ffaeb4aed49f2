"""The bytes of an HLL sketch of Apache DataSketches.

Sketches are read by Spark (``hll_sketch_agg``), Druid, BigQuery and others. A
sketch begins with eight bytes: the preamble's length in words, format 1, family 7, lg_k, the log
of an array's length, flags, a count, and the mode with the register's width.

- LIST: coupons from byte 8, their number being the count.
- SET: their number in the word at byte 8, coupons from byte 12.
- HLL: the order-dependent estimate (``hip``), the sums of ``2**-register`` below 32 and from 32,
  the number of zeros and of exceptions; registers from byte 40, of 8, 6 or 4 bits. Four bits hold
  the register less the count, or 15 for an exception, whose coupon comes after the registers.

A *compact* sketch holds coupons end to end; an *updatable* one whole hash tables, with zeros
between them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

_BYTES = ("words", "format", "family", "lg_k", "lg_array", "flags", "count", "mode")
_DOUBLES = ("hip", "low", "high")
_WORDS = ("zeros", "exceptions")
HEAD: Final = np.dtype([(name, "u1") for name in _BYTES])
COUPONS_HEAD: Final = np.dtype([("head", HEAD), ("coupons", "<u4")])
HLL_HEAD: Final = np.dtype(
    [("head", HEAD), *((name, "<f8") for name in _DOUBLES), *((name, "<u4") for name in _WORDS)]
)
FORMAT, FAMILY = 1, 7
LIST, SET, HLL = range(3)
PREAMBLE: Final = {LIST: 2, SET: 3, HLL: 10}  # words
LIST_SIZE: Final = 8
BITS: Final = {0: 4, 1: 6, 2: 8}  # of a register, by the two bits above the mode's
HLL_8: Final = 2 << 2
EMPTY, COMPACT, OUT_OF_ORDER = 0x04, 0x08, 0x10
REGISTERS: Final = HLL_HEAD.itemsize
EXCEPTION: Final = 15
