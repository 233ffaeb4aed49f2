"""What fails is tried again, and said once, however many meet it."""

import logging

import pytest

from beaconfold.pipelines.retry import Outage, Retry, Stopped
from beaconfold.stores import GenerationDropped, StoreUnavailable


def failing(*errors):
    """Give an attempt that fails with these errors and works then."""
    left = list(errors)

    def attempt():
        if left:
            raise left.pop(0)
        return "done"

    return attempt


def test_one_outage_is_said_once_by_all_who_meet_it(caplog):
    times = iter([100.0, 109.4])
    outage = Outage(clock=lambda: next(times))
    gone = StoreUnavailable("refused")
    with caplog.at_level(logging.WARNING):
        outage.met("another batch", gone)
        assert Retry(0, 0, outage=outage)("batch", failing(*[gone] * 5)) == "done"
        assert Retry(0, 0, outage=outage)("batch", failing()) == "done"
    first, over = [record.message for record in caplog.records]
    assert first == "another batch: StoreUnavailable: refused; trying again"
    assert over == "batch: goes on, after 9 s"


def test_another_error_is_said_as_well(caplog):
    with caplog.at_level(logging.WARNING):
        Retry(0, 0)("batch", failing(OSError("full"), OSError("full"), OSError("gone")))
    assert ["full" in r.message for r in caplog.records] == [True, False, False]
    assert len(caplog.records) == 3


def test_answers_are_not_tried_again():
    with pytest.raises(GenerationDropped):
        Retry(0, 0)("batch", failing(GenerationDropped("for good")))


def test_whoever_is_told_to_stop_stops():
    retry = Retry(0, 0)
    retry.stop.set()
    with pytest.raises(Stopped, match="was given up") as stopped:
        retry("batch", failing(OSError("full")))
    assert isinstance(stopped.value.__cause__, OSError)
