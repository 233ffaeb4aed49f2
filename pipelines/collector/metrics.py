"""The collector's figures, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .backlog import Backlog


def exposition(backlog: Backlog[Any], answers: Mapping[int, int]) -> str:
    """Write the figures in Prometheus's text format, version 0.0.4.

    Parameters
    ----------
    backlog
        The beacons received, published and waiting.
    answers
        How many requests were answered, by HTTP status.

    Examples
    --------
    >>> print(exposition(Backlog(), {200: 7, 503: 1}).splitlines()[2])
    beacons_collector_received_total 0
    """
    lines: list[str] = []
    for name, kind, text, samples in (
        ("received_total", "counter", "Beacons taken.", {"": backlog.received}),
        ("published_total", "counter", "Beacons made durable.", {"": backlog.published}),
        ("backlog_rows", "gauge", "Beacons waiting to be durable.", {"": backlog.rows}),
        ("backlog_bytes", "gauge", "Bytes of these beacons.", {"": backlog.bytes}),
        (
            "requests_total",
            "counter",
            "Requests for beacons answered, by status.",
            {f'{{status="{status}"}}': count for status, count in sorted(answers.items())},
        ),
        (
            "refused_total",
            "counter",
            "Requests refused.",
            {"": sum(count for status, count in answers.items() if status >= 400)},  # noqa: PLR2004
        ),
    ):
        full = f"beacons_collector_{name}"
        lines += [f"# HELP {full} {text}", f"# TYPE {full} {kind}"]
        lines += [f"{full}{labels} {value}" for labels, value in samples.items()]
    return "\n".join(lines) + "\n"
