"""Small files that are large in memory, and what is large by itself: refused in bounded time and memory."""

import gzip
import json
import os
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finecl_hf.data import json_stream, unpacking
from finecl_hf.data.documents import LONGEST_WORD, MOST_ENTITIES, Document
from finecl_hf.data.json_stream import read_json
from finecl_hf.data.readers import read_documents
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.learning_order.table import LearningOrder
from tests.data.test_readers import raw_document, save


@pytest.fixture
def bomb(tmp_path):
    """Writes half a gigabyte of one character behind a beginning, gzipped: half a megabyte."""

    def write(name, start, filling=b" "):
        path = tmp_path / name
        with gzip.open(path, "wb", 9) as file:
            file.write(start)
            for _ in range(1 << 9):
                file.write(filling * (1 << 20))
        return path

    return write


@pytest.mark.parametrize(
    ("name", "start", "filling"),
    [
        pytest.param("a.jsonl.gz", b"", b" ", marks=pytest.mark.slow),
        pytest.param("a.jsonl.gz", b"", b"\n", marks=pytest.mark.slow),
        ("a.json.gz", b'[{"title": "', b"a"),
        pytest.param("a.jsonl.gz", b'{"title": "', b"a", marks=pytest.mark.slow),
        pytest.param("a.json.gz", b'{"P1": [{"tokens": ["', b"a", marks=pytest.mark.slow),
        pytest.param("a.txt.gz", b'1\t"', b"a", marks=pytest.mark.slow),
    ],
)
def test_gzip_bombs(bomb, name, start, filling):
    path = bomb(name, start, filling)
    tracemalloc.start()
    try:
        with pytest.raises(DocumentError, match="gzip|characters"):
            read_documents(path)
        assert tracemalloc.get_traced_memory()[1] < 900 * 2**20
    finally:
        tracemalloc.stop()


def test_bombs_in_place_of_other_files(bomb):
    with pytest.raises(FineCLError, match="gzip"):
        read_json(bomb("rel_info.json", b"{", b" "))


def test_what_is_merely_small_is_read(tmp_path):
    documents = [raw_document(f"d{i}") for i in range(2000)]
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(json.dumps(documents).encode()))
    assert len(read_documents(path)) == 2000


@pytest.mark.parametrize("lines", [True, False])
def test_long_records(tmp_path, monkeypatch, lines):
    monkeypatch.setattr(json_stream, "LONGEST_RECORD", 3_000_000)
    text = json.dumps({**raw_document("d"), "note": "x" * 5_000_000})
    path = tmp_path / "a.json"
    path.write_text(text if lines else f"[{text}]")
    with pytest.raises(DocumentError, match="characters"):
        read_documents(path)


def test_parquet_of_repeated_values(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "FEW_VALUES", 1_000_000)
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(3_000_000, np.int32)), ["a"])
    sents = pa.ListArray.from_arrays([0, 3_000_000], words.cast(pa.string()))
    pq.write_table(
        pa.table({"title": ["d"], "sents": pa.ListArray.from_arrays([0, 1], sents)}), tmp_path / "a.parquet"
    )
    assert os.path.getsize(tmp_path / "a.parquet") < 10_000
    with pytest.raises(DocumentError, match="values"):
        read_documents(tmp_path / "a.parquet")
    table = LearningOrder(["d#0#1#r"], first_epoch=[0]).to_table()
    pq.write_table(table.take(pa.array(np.zeros(1_000_000, int))), tmp_path / "order.parquet")
    with pytest.raises(FineCLError, match="values"):
        LearningOrder.read(tmp_path / "order.parquet")


def test_words_without_end():
    long = raw_document("d")
    long["sents"][0][-1] = "x" * (LONGEST_WORD + 1)
    with pytest.raises(DocumentError, match="characters") as error:
        Document.from_dict(long)
    assert error.value.field == "sents[0]"


def test_entities_without_end():
    mention = [{"sent_id": 0, "pos": [0, 1]}]
    many = raw_document("d", vertexSet=[mention] * (MOST_ENTITIES + 1), labels=[])
    with pytest.raises(DocumentError, match="pairs"):
        Document.from_dict(many)
    assert len(Document.from_dict({**many, "pairs": [[0, 1000]]}).judged_pairs) == 1


def test_links_that_lead_in_circles(tmp_path):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    save(folder / "x.json", [raw_document("d")])
    for name in ("one", "two", "three"):
        (folder / name).symlink_to(tmp_path)
    assert [document.title for document in read_documents(str(tmp_path / "**" / "*.json"))] == ["d"]
