"""A file that is written is there whole or not at all."""

import os

import pytest

from tinynet.whole_file import whole_file


def write(path, data, then=lambda: None):
    with whole_file(path) as file:
        file.write(data)
        then()


def test_the_new_file_takes_the_place_of_the_old_one(tmp_path):
    write(tmp_path / "made" / "page", b"old")
    write(tmp_path / "made" / "page", b"new")
    assert [(p.name, p.read_bytes()) for p in (tmp_path / "made").iterdir()] == [("page", b"new")]


@pytest.mark.parametrize("stop", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["in the block", "fsync", "replace"])
def test_what_is_stopped_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, stop, where):
    write(tmp_path / "page", b"old")

    def stopped(*_):
        raise stop
    then = stopped if where == "in the block" else lambda: monkeypatch.setattr(os, where, stopped)
    with pytest.raises(stop):
        write(tmp_path / "page", b"half of the new", then)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("page", b"old")]


def test_a_link_stays_a_link(tmp_path):
    write(tmp_path / "page", b"old")
    (tmp_path / "link").symlink_to("page")
    write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "page").read_bytes() == b"new"
