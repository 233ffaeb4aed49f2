"""How Hypothesis draws the histories of a contract."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hypothesis import settings


def drawing(examples: int, *, shrink: bool = False) -> "settings":
    """Return settings for tests whose every step may wait for a server.

    Parameters
    ----------
    examples
        Number of histories.
    shrink
        Look for the shortest history that fails: takes minutes on a slow store.

    Examples
    --------
    >>> drawing(10).max_examples
    10
    """
    from hypothesis import HealthCheck, Phase, settings  # noqa: PLC0415 - only tests need it

    return settings(
        max_examples=examples,
        phases=[phase for phase in Phase if shrink or phase not in (Phase.shrink, Phase.explain)],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
