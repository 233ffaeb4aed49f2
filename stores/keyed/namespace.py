"""A namespace: the generation that holds the values of one store by key."""

import hashlib
import json
import re
from typing import Any

import polars as pl

from ...monoids.dtypes import dtype_name
from ...monoids.product import Product
from ..errors import StoreLayoutError
from ..generation import LAYOUT, Generation
from ..store import MergeableStore

KEY, VALUE = "key", "value"
"""The columns of every namespace."""


def open_namespace(
    store: MergeableStore, namespace: str, key: pl.DataType, product: Product
) -> Generation:
    """Return the generation of a namespace, and make it if it is not there.

    Its declaration has one key column, ``key``, one aggregate, ``value``, and no windows, so that
    ``store.query(namespace)`` reads it like any job.

    Parameters
    ----------
    store
        Where it is.
    namespace
        Its name, among those of jobs.
    key
        Data type of keys.
    product
        The bound aggregate.

    Raises
    ------
    ValueError
        If the name is none.
    TypeError
        If keys of that data type cannot be stored.
    StoreLayoutError
        If the namespace holds something else.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", namespace):
        raise ValueError(f"namespace {namespace!r}: use letters, digits, '-', '_' and '.'")
    contents = {"keys": {KEY: dtype_name(key)}, "aggregates": product.declare()}
    declaration = {
        "layout": LAYOUT,
        "job": namespace,
        "fingerprint": hashlib.sha256(_text(contents).encode()).hexdigest()[:16],
        "window_us": None,
        **contents,
    }
    mine = Generation.declared(declaration)
    if (found := store.backend.live(namespace)) is None:
        store.register(declaration, product=product)
        found = store.live(namespace)  # of several that make it at once, the first one decides
    if found.id != mine.id:
        held = {name: found.declaration[name] for name in contents}
        raise StoreLayoutError(
            f"namespace {namespace!r} holds {_text(held)}, not {_text(contents)}: open it with the "
            "value= and key= that it was made with, or choose another namespace"
        )
    return found.with_product(product)


def _text(contents: Any) -> str:
    return json.dumps(contents, sort_keys=True)
