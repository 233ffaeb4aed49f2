"""Jobs on their way to workers that know nothing of the user's own modules."""

from __future__ import annotations

import importlib.metadata
import site
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import cloudpickle

from . import wire  # noqa: F401 - frames travel its way
from .job import Job


class ShippedJob:
    """A job that carries the code of the modules it was written in.

    Packed once, when it is made; on the wire only, nothing of it is stored. A module that is
    installed is named; one from the working folder or a notebook travels by value, so that a worker
    needs nothing but this package.

    Examples
    --------
    >>> import pickle
    >>> from beaconfold.pipelines.jobs import publisher_uniques
    >>> pickle.loads(pickle.dumps(ShippedJob(publisher_uniques))).job == publisher_uniques
    True
    """

    def __init__(self, job: Job, cargo: bytes | None = None) -> None:
        self.job = job
        if cargo is None:
            with _local_modules_by_value():
                cargo = cloudpickle.dumps(job)
        self._cargo = cargo

    def __reduce__(self) -> tuple[Callable[[bytes], ShippedJob], tuple[bytes]]:
        return _unpack, (self._cargo,)


@lru_cache(maxsize=32)
def _unpack(cargo: bytes) -> ShippedJob:
    # A worker unpacks a job once, however many batches it is sent.
    return ShippedJob(cloudpickle.loads(cargo), cargo)


@contextmanager
def _local_modules_by_value() -> Iterator[None]:
    registered = cloudpickle.list_registry_pickle_by_value()
    local = [module for module in _local_modules() if module.__name__ not in registered]
    for module in local:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in local:
            cloudpickle.unregister_pickle_by_value(module)


def _local_modules() -> list[ModuleType]:
    """Find the modules that a worker would not have: imported, but not installed."""
    own = __name__.partition(".")[0]
    known = {own, "__main__", *importlib.metadata.packages_distributions()}
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    installed = [Path(path) for path in (*paths, site.getusersitepackages())]
    return [
        module
        for name, module in list(sys.modules.items())
        if module.__name__ == name
        and name.partition(".")[0] not in known
        and (file := getattr(module, "__file__", None)) is not None
        and not any(Path(file).is_relative_to(prefix) for prefix in installed)
    ]
