"""The laws that monoids and aggregators obey, as checks to run on your own.

Hypothesis draws the examples; install it to use these.

Examples
--------
>>> import polars as pl
>>> from hypothesis import strategies as st
>>> from beaconfold.monoids import Sum
>>> rows = frames({"price": pl.Int64()}, {"price": st.integers(-100, 100)})
>>> check_aggregator(Sum("price"), rows, examples=10)
"""

from __future__ import annotations

import copy
import json
import operator
import pickle
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar

import polars as pl
from polars.testing import assert_frame_equal

from .aggregator import Aggregator
from .monoid import Monoid
from .product import Product

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

T = TypeVar("T")
GROUP: Final = "group"
"""The key column of the frames that `frames` draws."""
_STATE: Final = "state"
_BY: Final = [GROUP]


class LawBroken(AssertionError):
    """An example breaks a law; the message names the law and shows both sides."""


def check_monoid(
    monoid: Monoid[T],
    values: SearchStrategy[T],
    *,
    codec: bool = True,
    equal: Callable[[T, T], bool] = operator.eq,
    examples: int = 50,
) -> None:
    """Check a Python monoid: associativity, identity, and what it claims besides.

    Parameters
    ----------
    values
        A strategy for the monoid's values.
    codec
        Check that `Monoid.encode` and `Monoid.decode` round-trip, and that equal sums have equal
        bytes. False for a monoid whose values are never stored.
    equal
        How values are compared.
    examples
        How many examples are drawn.

    Raises
    ------
    LawBroken
        With the smallest example that Hypothesis found, as notes.

    Examples
    --------
    >>> from hypothesis import strategies as st
    >>> class Longest(Monoid[str]):
    ...     idempotent = True
    ...     zero = ""
    ...
    ...     def plus(self, left, right):
    ...         return max(left, right, key=lambda text: (len(text), text))
    >>> check_monoid(Longest(), st.text())
    """
    from hypothesis import given, settings  # noqa: PLC0415 - only those who test need it

    def plus(left: T, right: T) -> T:
        before = copy.deepcopy((left, right))
        total = monoid.plus(left, right)
        if not (equal(left, before[0]) and equal(right, before[1])):
            raise LawBroken(f"plus changes no argument: it made {left!r}, {right!r} of {before}")
        return total

    def same(law: str, left: T, right: T) -> None:
        if not equal(left, right):
            raise LawBroken(f"{law}: {left!r} is not {right!r}")
        if codec and monoid.encode(left) != monoid.encode(right):
            raise LawBroken(f"{law}: {left!r} has other bytes than {right!r}")

    @settings(max_examples=examples, deadline=None)
    @given(values, values, values)
    def laws(a: T, b: T, c: T) -> None:
        zero = monoid.zero
        same("associativity", plus(plus(a, b), c), plus(a, plus(b, c)))
        same("left identity", plus(zero, a), a)
        same("right identity", plus(a, zero), a)
        same("sum", monoid.sum([a, b, c]), plus(plus(a, b), c))
        same("sum of nothing", monoid.sum([]), zero)
        if monoid.commutative:
            same("commutativity", plus(a, b), plus(b, a))
        if monoid.idempotent:
            same("idempotence", plus(a, a), a)
        if codec:
            same("codec", monoid.decode(monoid.encode(a)), a)

    laws()


def frames(
    schema: Mapping[str, pl.DataType],
    values: Mapping[str, SearchStrategy[object]],
    *,
    groups: int = 3,
    max_rows: int = 20,
) -> SearchStrategy[pl.DataFrame]:
    """Draw frames of rows in a few groups, nulls among them.

    Parameters
    ----------
    schema
        The columns and their data types.
    values
        A strategy for each column's cells; nulls are added.

    Returns
    -------
    SearchStrategy[pl.DataFrame]
        Frames of a column ``group`` and the given ones.

    Examples
    --------
    >>> from hypothesis import strategies as st
    >>> isinstance(frames({"x": pl.Int8()}, {"x": st.just(1)}), st.SearchStrategy)
    True
    """
    from hypothesis import strategies as st  # noqa: PLC0415

    row = st.tuples(st.integers(1, groups), *(st.none() | values[name] for name in schema))
    types = {GROUP: pl.Int64(), **schema}
    return st.lists(row, max_size=max_rows).map(
        lambda rows: pl.DataFrame(rows, schema=types, orient="row")
    )


def check_aggregator(
    aggregator: Aggregator,
    rows: SearchStrategy[pl.DataFrame],
    *,
    restorable: bool = True,
    examples: int = 50,
) -> None:
    """Check an aggregator's laws to the byte.

    Merging is associative, commutative, has null for its identity, and is idempotent where that
    is claimed; rows folded in any order, cut into any batches, merged in a tree of any shape give
    equal states; presenting changes no state; nulls change nothing; and what is restored from
    the declaration merges and presents alike.

    Parameters
    ----------
    aggregator
        It is bound to the frames' columns first.
    rows
        A strategy for frames with a column ``group`` and those it reads, as from `frames`.
    restorable
        False for one that holds Python code, such as `Lifted`.
    examples
        How many examples are drawn.

    Raises
    ------
    LawBroken
        With the smallest example that Hypothesis found, as notes.

    Examples
    --------
    >>> from hypothesis import strategies as st
    >>> from beaconfold.monoids import Max
    >>> check_aggregator(Max("x"), frames({"x": pl.Float64()}, {"x": st.floats()}), examples=10)
    """
    from hypothesis import given, settings  # noqa: PLC0415
    from hypothesis import strategies as st  # noqa: PLC0415

    @settings(max_examples=examples, deadline=None)
    @given(rows, st.integers(0, 2**32))
    def laws(frame: pl.DataFrame, seed: int) -> None:
        product = Product({_STATE: aggregator}).bind(frame.schema)
        _check_states(product, frame, Random(seed))  # noqa: S311 - drawn by Hypothesis
        _check_presenting(product, frame)
        if restorable:
            _check_restored(product, frame)

    laws()


def _check_states(product: Product, frame: pl.DataFrame, random: Random) -> None:
    aggregator = product.aggregators[_STATE]
    whole = product.fold(frame, _BY)
    if whole.schema[_STATE] != aggregator.state:
        raise LawBroken(f"states are {whole.schema[_STATE]}, not {aggregator.state} as declared")
    if aggregator.state == pl.Binary:
        versions = whole[_STATE].drop_nulls().bin.head(1).unique().to_list()
        if len(versions) > 1 or versions == [b""]:
            raise LawBroken(f"Binary states begin with a version byte, not with {versions}")

    shuffled = frame.sample(fraction=1, shuffle=True, seed=random.randrange(2**32))
    cuts = sorted(random.choices(range(len(frame) + 1), k=3))
    batches = [
        product.fold(shuffled[begin:end], _BY)
        for begin, end in zip([0, *cuts], [*cuts, len(frame)], strict=True)
    ]
    a, b, c, *_ = batches
    plus = _plus(product)
    _same("rows in any order", product.fold(shuffled, _BY), whole)
    _same("batches merged at once", plus(batches), whole)
    _same("batches merged in a tree", _tree(product, batches, random), whole)
    _same("associativity", plus([plus([a, b]), c]), plus([a, plus([b, c])]))
    _same("commutativity", plus([a, b]), plus([b, a]))
    _same("identity: no groups", plus([whole, whole.clear()]), whole)
    _same("identity: null states", plus([whole, _nulls(whole, _STATE)]), whole)
    if aggregator.idempotent:
        _same("idempotence", plus([whole, whole]), whole)
    if aggregator.column is not None:
        nulls = product.fold(_nulls(frame, aggregator.column), _BY)
        _same("nulls change nothing", plus([whole, nulls]), whole)
        empty = product.present(_nulls(nulls, _STATE))
        _same("groups of nulls have no data", product.present(nulls), empty)


def _check_presenting(product: Product, frame: pl.DataFrame) -> None:
    states = product.fold(frame, _BY)
    before = states.clone()
    results = product.present(states)
    _same("presenting changes no state", states, before)
    _same("presenting again", product.present(states), results)
    empty = product.present(states.clear())
    if empty.schema != results.schema:
        raise LawBroken(f"the results' data type depends on the data: {empty.schema[_STATE]}")


def _check_restored(product: Product, frame: pl.DataFrame) -> None:
    declaration = product.declare()
    restored = Product.restore(json.loads(json.dumps(declaration)))
    if restored.declare() != declaration or restored.states != product.states:
        raise LawBroken(f"restored from {declaration}, it declares {restored.declare()}")
    states = product.fold(frame, _BY)
    _same("pickling", pickle.loads(pickle.dumps(product)).fold(frame, _BY), states)  # noqa: S301
    twice = [states, states]
    _same("merging, restored", _plus(restored)(twice), _plus(product)(twice))
    _same("presenting, restored", restored.present(states), product.present(states))


def _plus(product: Product) -> Callable[[Sequence[pl.DataFrame]], pl.DataFrame]:
    return lambda parts: product.plus(parts, _BY)


def _tree(product: Product, parts: list[pl.DataFrame], random: Random) -> pl.DataFrame:
    """Merge neighbours, picked by chance, until one is left."""
    parts = list(parts)
    while len(parts) > 1:
        at = random.randrange(len(parts) - 1)
        parts[at : at + 2] = [product.plus(parts[at : at + 2], _BY)]
    return parts[0]


def _nulls(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    return frame.with_columns(pl.lit(None, frame.schema[name]).alias(name))


def _same(law: str, left: pl.DataFrame, right: pl.DataFrame) -> None:
    try:
        assert_frame_equal(left.sort(GROUP), right.sort(GROUP), check_exact=True)
    except AssertionError:
        sides = (frame.sort(GROUP).rows() for frame in (left, right))
        raise LawBroken("{}: {} is not {}".format(law, *sides)) from None
