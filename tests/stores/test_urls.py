"""Stores are opened by address; what cannot be opened says why, in one line, without secrets."""

import os
import pickle

import pytest

from beaconfold.stores import MemoryBackend, StoreError, StoreLayoutError, open_store, redacted
from beaconfold.stores.urls import OPENERS


def test_a_named_memory_is_the_same_within_the_process():
    assert open_store("memory://test_urls").id == open_store("memory://test_urls").id
    assert open_store("memory://").id != open_store("memory://").id
    store = open_store("memory://", shards=8)
    assert open_store(store.url).id == store.id
    with pytest.raises(StoreLayoutError, match="has 8 shards, not 64"):
        open_store(store.url, shards=64)


def test_memory_cannot_be_reached_from_elsewhere():
    store = open_store("memory://")
    elsewhere = pickle.loads(pickle.dumps(store))
    elsewhere.check()
    pickled = pickle.dumps(store)
    del store, elsewhere
    with pytest.raises(StoreError, match="lives in the process that made it: use sqlite://"):
        pickle.loads(pickled).check()


def test_sqlite_paths_are_relative_or_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = open_store("sqlite:///a b#?%20.db")
    assert (tmp_path / "a b#?%20.db").is_file()
    absolute = open_store(f"sqlite:///{tmp_path}/a b#?%20.db")
    assert relative.url == absolute.url == f"sqlite:///{tmp_path}/a b#?%20.db"
    assert relative.id == absolute.id
    os.chdir("/")
    relative.check()
    assert open_store(relative.url).id == relative.id


@pytest.mark.parametrize(
    "url", ["postgres://me:secret@host/db?password=secret", "beacons.db", "", "://", "SQLITE:///x"]
)
def test_an_unknown_kind_is_an_error_that_lists_the_known_ones(url):
    with pytest.raises(ValueError, match=r"known are memory://, sqlite://") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://a.db"])
def test_a_sqlite_store_needs_a_file(url):
    with pytest.raises(ValueError, match="needs a file: sqlite:///beacons.db"):
        open_store(url)


def test_a_backend_of_ones_own_can_be_added(monkeypatch):
    monkeypatch.setitem(OPENERS, "mine", lambda url, shards: MemoryBackend(url[7:], shards))
    assert open_store("mine://test_urls_own", shards=3).shards == 3


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@host:1/0", "redis://:***@host:1/0"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("amqp://me:se@cret@host", "amqp://me:***@host"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("memory://", "memory://"),
        ("x://me:se/cr?et@[broken", "x://me:***@[broken"),
        ("x://h/?a=1&api_token=secret&b=2", "x://h/?a=1&api_token=***&b=2"),
    ],
)
def test_passwords_are_not_shown(url, shown):
    assert redacted(url) == shown
