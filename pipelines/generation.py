"""Which generation of a job a store should be given."""

from __future__ import annotations

from ..stores import Generation, MergeableStore
from .fingerprint import differences
from .job import Job


class JobChanged(ValueError):
    """The store holds this job's name under another definition."""


def open_generation(job: Job, store: MergeableStore) -> Generation:
    """Find the job's generation in a store, or make the first one.

    Raises
    ------
    JobChanged
        The store's live generation was made by another definition; the message says what differs.
    """
    known = store.generations(job.name)
    held = store.live(job.name) if known else None
    # Of several revisions the one that readers see, else the newest.
    for found in ([held] if held else []) + known[::-1]:
        if found.fingerprint == job.fingerprint and found.state in {"live", "building"}:
            return found.with_product(job.product)
    if held:
        ignored = {"fingerprint", "job"}
        old = {k: v for k, v in held.declaration.items() if k not in ignored}
        new = {k: v for k, v in job.declaration.items() if k not in ignored}
        raise JobChanged(
            f"the store holds {job.name} under another definition "
            f"({'; '.join(differences(old, new))}): give this one another name, or another store"
        )
    return store.register(job.declaration, product=job.product)
