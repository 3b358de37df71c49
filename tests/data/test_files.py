"""Files appear whole or not at all."""

import pytest

from finecl_hf.data.files import remove_unfinished, replacing


def test_replacing_a_file(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as file:
        file.write(b"old")
        assert not path.exists()
    with pytest.raises(KeyError), replacing(path) as file:
        file.write(b"half")
        raise KeyError
    assert path.read_bytes() == b"old" and [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    for name in (".a.txt.17.tmp", "a.txt", ".b.txt.17.tmp", "a.txt.17.tmp"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path / "a.txt")
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", ".b.txt.17.tmp", "a.txt.17.tmp"}
