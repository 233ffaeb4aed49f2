"""What one batch did: the record that logs, progress bars and notebooks render."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """What became of one batch of segments.

    Names follow Spark's ``StreamingQueryProgress`` where it has them.

    Parameters
    ----------
    segments
        Segments in the batch.
    merged_segments
        Those of them that this batch merged; the others were in the ledger already.
    num_input_rows
        Beacons read from the segments that were folded.
    num_rejected_rows
        Beacons that could not be decoded, and went to the quarantine.
    num_cells
        Partial states merged: keys × windows.
    poison
        Segments set aside because the job's own code raised, with its error.
    duration_ms
        Milliseconds by phase: ``fold`` (read, decode and fold), ``merge``.
    retries
        Times the batch was submitted again, after a lost worker or an unreachable store.

    Examples
    --------
    >>> done = BatchProgress(segments=2, merged_segments=2, num_input_rows=200, num_cells=7)
    >>> (done + done).num_input_rows
    400
    """

    segments: int = 0
    merged_segments: int = 0
    num_input_rows: int = 0
    num_rejected_rows: int = 0
    num_cells: int = 0
    poison: Mapping[str, str] = field(default_factory=dict)
    duration_ms: Mapping[str, float] = field(default_factory=dict)
    retries: int = 0

    def __add__(self, other: BatchProgress) -> BatchProgress:
        phases = [*self.duration_ms, *(p for p in other.duration_ms if p not in self.duration_ms)]
        return BatchProgress(
            segments=self.segments + other.segments,
            merged_segments=self.merged_segments + other.merged_segments,
            num_input_rows=self.num_input_rows + other.num_input_rows,
            num_rejected_rows=self.num_rejected_rows + other.num_rejected_rows,
            num_cells=self.num_cells + other.num_cells,
            poison={**self.poison, **other.poison},
            duration_ms={
                phase: self.duration_ms.get(phase, 0.0) + other.duration_ms.get(phase, 0.0)
                for phase in phases
            },
            retries=self.retries + other.retries,
        )
