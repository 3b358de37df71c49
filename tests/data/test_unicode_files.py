"""UTF-16 is told from the first bytes of a file."""

import pytest

from finecl_hf.data.unicode_files import refuse_utf_16, utf_16_of
from finecl_hf.errors import FineCLError


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["Q1\tname", "東,verdict", "a東", "x"])
def test_what_was_written_is_read(text, encoding):
    data = text.encode(encoding)
    assert data.decode(utf_16_of(data)) == text


@pytest.mark.parametrize("data", [b"", b"Q1\tname", "é東".encode(), b"\xef\xbb\xbfQ1", b"a\0\0\0", b"\xff"])
def test_other_files(data, tmp_path):
    assert utf_16_of(data) is None
    (tmp_path / "x").write_bytes(data)
    refuse_utf_16(tmp_path / "x", "--aliases")


def test_it_is_refused(tmp_path):
    (tmp_path / "x.tsv").write_bytes("Q1".encode("utf-16-le"))
    with pytest.raises(FineCLError, match="--aliases .*x.tsv: the file is UTF-16"):
        refuse_utf_16(tmp_path / "x.tsv", "--aliases")
