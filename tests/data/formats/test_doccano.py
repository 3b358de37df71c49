"""doccano's JSON Lines; what it shares with other tools is in test_annotations."""

from finecl_hf.data.readers import read_documents
from tests.helpers.format_examples import DOCCANO, lines


def test_titles(tmp_path):
    bare = {key: value for key, value in DOCCANO.items() if key != "id"}
    (tmp_path / "a.jsonl").write_bytes(lines(DOCCANO, bare, bare, {**bare, "title": "x"}))
    titles = [document.title for document in read_documents(tmp_path / "a.jsonl")]
    assert titles[0] == "11" and titles[2] == f"{titles[1]}-2" and titles[3] == "x"
