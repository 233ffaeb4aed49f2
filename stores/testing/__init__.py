"""The contracts of stores, for the author of a store to run with pytest (and Hypothesis).

For a backend, make a class whose name begins with ``Test``, with a fixture that gives an empty
one::

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def backend(self, tmp_path):
            return MyBackend(tmp_path / "store")

For a store by key, the fixture gives an empty one that sums integers under text::

    class TestMyStore(KeyedStoreContract):
        @pytest.fixture
        def keyed(self):
            return MyStore(MemoryStore("memory://", namespace="n", value=Sum(dtype=pl.Int64)))
"""

# ruff: noqa: E402 - pytest explains failed assertions only of what it is told of before

import pytest

for _module in ("backend_contract", "exactly_once", "keyed_contract"):
    pytest.register_assert_rewrite(f"{__name__}.{_module}")

from .backend_contract import BackendContract
from .beacons import MINUTE, declaration, fold, generation
from .cells import CELLS, LARGE, Cell, held, rows, version, wanted, write
from .exactly_once import check_segments, check_tokens
from .faults import CrashError, Fault, FaultyBackend
from .keyed_contract import KeyedStoreContract

__all__ = [
    "CELLS",
    "LARGE",
    "MINUTE",
    "BackendContract",
    "Cell",
    "CrashError",
    "Fault",
    "FaultyBackend",
    "KeyedStoreContract",
    "check_segments",
    "check_tokens",
    "declaration",
    "fold",
    "generation",
    "held",
    "rows",
    "version",
    "wanted",
    "write",
]
