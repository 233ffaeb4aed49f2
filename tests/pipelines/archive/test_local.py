"""The folder: files appear whole under their names, once, in the folder that was meant."""

import os
import shutil
import threading

import pytest

from beaconfold.pipelines.archive.local import LocalFolder


@pytest.fixture
def folder(tmp_path):
    return LocalFolder(tmp_path / "archive")


def staged(folder):
    return list((folder.root / "tmp").iterdir())


def test_a_file_is_made_once(folder):
    folder.create("a/b/c", b"first")
    with pytest.raises(FileExistsError):
        folder.create("a/b/c", b"second")
    assert folder.path("a/b/c").read_bytes() == b"first"
    assert staged(folder) == []


def test_of_many_at_once_one_makes_it(folder):
    won, start = [], threading.Barrier(8)

    def create(number):
        start.wait()
        try:
            folder.create("deep/down/name", str(number).encode())
        except FileExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [str(number).encode() for number in won] == [folder.path("deep/down/name").read_bytes()]
    assert staged(folder) == []


def test_the_check_comes_between_staging_and_the_name(folder):
    folder.create("there", b"")

    def check():
        assert [path.read_bytes() for path in staged(folder)] == [b"data"]
        assert not folder.path("name").exists()

    folder.create("name", b"data", check)
    assert folder.path("name").read_bytes() == b"data"


def test_a_failed_check_leaves_nothing(folder):
    folder.create("there", b"")

    def check():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        folder.create("name", b"data", check)
    assert not folder.path("name").exists()
    assert staged(folder) == []


@pytest.mark.parametrize("anew", [False, True], ids=["deleted", "made anew"])
def test_nothing_is_put_into_a_folder_that_took_the_place_of_the_one_checked(folder, anew):
    folder.create("there", b"")

    def check_then_exchange():
        if staged(folder):
            shutil.rmtree(folder.root)
            if anew:
                LocalFolder(folder.root).create("there", b"")

    with pytest.raises(FileNotFoundError):
        folder.create("name", b"data", check_then_exchange)
    assert not folder.path("name").exists()


def test_a_deleted_folder_is_not_brought_back_to_life(folder):
    folder.create("there", b"")
    shutil.rmtree(folder.root)

    def check():
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError, match="gone"):
        folder.create("name", b"data", check)
    assert not folder.root.exists()


def test_a_file_in_the_way_of_a_folder_is_named(folder):
    folder.create("a", b"")
    with pytest.raises(NotADirectoryError, match="archive/a is a file"):
        folder.create("a/b", b"")


def test_only_old_staged_files_are_cleaned(folder):
    folder.create("there", b"")
    old, young = folder.root / "tmp" / "old", folder.root / "tmp" / "young"
    for path in (old, young):
        path.write_bytes(b"left behind")
    os.utime(old, (0, 0))
    folder.clean()
    assert staged(folder) == [young]


def test_a_hint_is_replaced_whole(folder):
    folder.replace("leases/a", b"first")
    folder.replace("leases/a", b"second")
    assert folder.path("leases/a").read_bytes() == b"second"
    assert staged(folder) == []
