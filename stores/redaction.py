"""Addresses without their passwords."""

import re


def redacted(url: str) -> str:
    """Write a URL without its passwords, fit for logs and messages.

    Examples
    --------
    >>> redacted("redis://me:secret@host/0?password=secret&db=1")
    'redis://me:***@host/0?password=***&db=1'
    >>> redacted("me:secret@host")
    'me:***@host'
    """
    url = re.sub(r"(^|://)([^/?#@:]*):(?!//).*@", r"\1\2:***@", url)
    return re.sub(r"([?&][^=&]*(?:pass|secret|token)[^=&]*=)[^&]*", r"\1***", url)
