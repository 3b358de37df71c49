"""Raw records keep what a document does not: keys of their own, and how the file writes them."""

import json

from finecl_hf.data.readers import iter_records


def test_other_keys_of_a_document_stay(ada, tmp_path):
    raw = {**ada.to_dict(), "note": "mine"}
    raw["vertexSet"][0][0]["global_pos"] = [0]
    path = tmp_path / "silver.jsonl"
    path.write_text(json.dumps(raw) + "\n", encoding="utf-8")
    (record,) = iter_records(path)
    assert record.item == ada and record.raw.value == raw and record.raw.layout == "lines"


def test_the_layout_tells_a_list_from_lines(ada, curie, tmp_path):
    path = tmp_path / "silver.json"
    path.write_text(json.dumps([ada.to_dict(), curie.to_dict()]), encoding="utf-8")
    assert [record.raw.layout for record in iter_records(path)] == ["list", "list"]
