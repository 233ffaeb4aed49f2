"""Ready jobs: the talk's two, and the one that most people want."""

from ..job import Job
from .beacon_counts import beacon_counts
from .publisher_traffic import publisher_traffic
from .publisher_uniques import publisher_uniques

READY: dict[str, Job] = {
    job.name: job for job in (beacon_counts, publisher_uniques, publisher_traffic)
}

__all__ = ["READY", "beacon_counts", "publisher_traffic", "publisher_uniques"]
