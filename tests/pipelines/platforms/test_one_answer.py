"""Live, replayed and in memory: real traffic gives its known answers, and the same bytes."""

import pytest
from real_traffic import TRAFFIC, check

from beaconfold import open_store, replay, stream, verify
from beaconfold.pipelines.platforms import run_archive


@pytest.mark.parametrize("name", TRAFFIC)
def test_the_three_platforms_agree_to_the_byte(name, client, real_data, tmp_path):
    traffic = TRAFFIC[name]
    job, archive = traffic.job, str(tmp_path / "archive")
    live = open_store(f"sqlite:///{tmp_path}/live.db")
    source = (real_data / traffic.file).as_uri()

    with stream(
        job,
        source=source,
        archive=archive,
        store=live,
        client=client,
        max_rows=5_000,
        partition="1h",
    ) as run:
        progress = run.drain()
    assert progress.merged.merged_segments == -(-progress.received // 5_000)
    assert progress.merged.num_rejected_rows == 0

    replayed = open_store(f"sqlite:///{tmp_path}/replayed.db")
    outcome = replay(job, archive=archive, store=replayed, client=client)
    assert outcome.done.num_input_rows == progress.received

    in_memory = run_archive(job, archive)

    check(live.query(job.name), traffic.expected(real_data))
    generation = live.live(job.name)
    assert live.dump(generation) == replayed.dump(replayed.live(job.name))
    states = live.states(generation)
    assert states.equals(in_memory.select(states.columns).sort(job.by))
    assert verify(job, archive=archive, store=live, client=client)


@pytest.mark.parametrize("name", TRAFFIC)
def test_in_memory_without_an_archive(name, real_data):
    import gzip

    traffic = TRAFFIC[name]
    lines = gzip.decompress((real_data / traffic.file).read_bytes()).splitlines()
    assert traffic.job.rejected(lines).is_empty()
    check(traffic.job.run(lines), traffic.expected(real_data))
