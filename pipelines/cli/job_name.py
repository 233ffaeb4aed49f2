"""From what a user types to a job: a ready one's name, or ``module:attribute``."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from ..job import Job
from ..jobs import READY
from .errors import Failure


def find_job(text: str) -> Job:
    """Find a job.

    Parameters
    ----------
    text
        The name of a ready job, or ``module:attribute``; the module can be imported, or is a file
        in the working folder.

    Raises
    ------
    Failure
        There is none; the message lists those that there are.

    Examples
    --------
    >>> find_job("beacon-counts").key
    ('beaconType',)
    """
    if text in READY:
        return READY[text]
    module_name, colon, attribute = text.partition(":")
    if not colon:
        raise Failure(
            f"no ready job {text!r}: there are {', '.join(sorted(READY))}; "
            "your own is module:attribute, as in my_jobs:clicks"
        )
    module = _import(module_name.removesuffix(".py"))
    found = getattr(module, attribute, None)
    if isinstance(found, Job):
        return found
    jobs = sorted(name for name, value in vars(module).items() if isinstance(value, Job))
    what = f"is no Job but a {type(found).__name__}" if found is not None else "is not in it"
    raise Failure(
        f"{text!r}: {attribute or 'the attribute'} {what}; "
        f"Jobs in {module_name}: {', '.join(jobs) or 'none'}"
    )


def name_of(text: str) -> str:
    """Find the name under which a store keeps a job's results: of any job that it may hold.

    >>> name_of("a-job-of-last-year")
    'a-job-of-last-year'
    """
    return find_job(text).name if ":" in text else text


def _import(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as `python -m` does
    try:
        found = bool(name) and find_spec(name) is not None
        module = importlib.import_module(name) if found else None
    except Exception as error:
        where = _line_of(error, folder)
        raise Failure(f"cannot import {name}: {type(error).__name__}: {error}{where}") from error
    if module is None:
        raise Failure(f"no module {name!r} can be imported, and there is no file {name}.py here")
    return module


def _line_of(error: Exception, folder: str) -> str:
    """Name the last line of the user's own code that an error passed through."""
    own, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(folder):
            own = f" ({Path(file).name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return own
