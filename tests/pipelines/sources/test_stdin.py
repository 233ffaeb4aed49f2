"""Standard input: a stream that is read once."""

import io
import os
import threading

from beaconfold.pipelines.sources import StdinSource, open_source


def test_a_stream_in_memory():
    (partition,) = StdinSource(io.BytesIO(b"a\nb\r\n\nc")).partitions()
    batches = list(partition.read(None))
    assert [raw for batch in batches for raw in batch.frame["raw"]] == [b"a", b"b", b"c"]
    assert batches[-1].position == 7
    assert partition.finite


def test_each_run_is_a_partition_of_its_own():
    first, second = open_source("stdin://"), open_source("stdin://")
    assert first.identity != second.identity
    assert first.partitions()[0].identity == first.identity


def test_an_idle_pipe_yields_empty_batches_and_ends_when_it_is_closed():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        batches = StdinSource(stream).partitions()[0].read(None)
        assert next(batches).frame.is_empty()
        os.write(writing, b"one\ntw")
        arrived = next(batch for batch in batches if batch.frame.height)
        assert arrived.frame["raw"].to_list() == [b"one"]
        assert next(batches).frame.is_empty()
        os.write(writing, b"o")
        closing = threading.Thread(target=os.close, args=(writing,))
        closing.start()
        rest = [raw for batch in batches for raw in batch.frame["raw"]]
        closing.join()
    assert rest == [b"two"]
