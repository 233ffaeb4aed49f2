"""What can go wrong with a store, in one line each, for a person to act on."""


class StoreError(Exception):
    """A store cannot do what was asked; the base of all errors of this package.

    Examples
    --------
    >>> issubclass(StoreLayoutError, StoreError)
    True
    """


class StoreLayoutError(StoreError):
    """The place holds something else: another layout, another version, or no store at all."""


class StoreUnavailable(StoreError):
    """The store cannot be reached now: nothing was written. Trying again may help."""


class CommitUncertain(StoreError):
    """The connection was lost in the middle of a commit: it may have been written, or not."""


class MergeUncertain(StoreError):
    """The outcome of a merge is unknown, and merging again might count it twice.

    Merges of segments and merges with a token never raise it: they can be told from new ones.
    """


class GenerationRetired(StoreError):
    """The generation takes no more merges: readers and drivers have gone on to its successor."""


class GenerationDropped(StoreError):
    """The generation's states are deleted; only its tombstone is left."""


class UnknownJob(StoreError):
    """The store holds no job of that name; the message lists those that it holds."""
