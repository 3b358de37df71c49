"""Raw records keep what a document does not, and a file is opened once to be recognised and read."""

import gzip
import json
import sys

import pytest

from finecl_hf.data.raw_records import raw_records
from finecl_hf.data.readers import valid_records, write_documents


def test_other_keys_of_a_document_stay(ada, tmp_path):
    raw = {**ada.to_dict(), "note": "mine"}
    raw["vertexSet"][0][0]["global_pos"] = [0]
    path = tmp_path / "silver.jsonl"
    path.write_text(json.dumps(raw) + "\n", encoding="utf-8")
    (record,) = valid_records(path)
    assert record.item == ada and record.raw == raw and record.format == "docred"


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.json.gz", "a.parquet"])
def test_a_file_is_opened_once(name, ada, curie, tmp_path):
    path = tmp_path / name
    write_documents([ada, curie], path)
    opened = []
    listening = True

    def hear(event, arguments):
        if listening and event == "open" and arguments[0] == str(path):
            opened.append(event)

    sys.addaudithook(hear)  # which nobody can take away again
    assert len(list(raw_records(path, None))) == 2
    listening = False
    assert len(opened) == 1


def test_a_gzipped_file_is_told_by_its_bytes(ada, tmp_path):
    path = tmp_path / "silver.json"
    path.write_bytes(gzip.compress(json.dumps([ada.to_dict()]).encode()))
    (record,) = valid_records(path)
    assert record.item == ada
