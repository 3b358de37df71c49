"""How often a document is made from JSON, and a file opened, on the way through a stage."""

import sys
from collections import Counter

import pytest

from finecl_hf.data.documents import Document
from tests.helpers.script_runs import run


@pytest.fixture
def parses(monkeypatch):
    """Counts how often each document is made, by title."""
    counts = Counter()
    original = Document.from_dict.__func__

    def from_dict(cls, raw, *args, **kwargs):
        document = original(cls, raw, *args, **kwargs)
        counts[document.title] += 1
        return document

    monkeypatch.setattr(Document, "from_dict", classmethod(from_dict))
    original_json = Document.from_json.__func__

    def from_json(cls, text, *args, **kwargs):
        before = counts.total()
        document = original_json(cls, text, *args, **kwargs)
        counts[document.title] += counts.total() == before  # where it does not go through from_dict
        return document

    monkeypatch.setattr(Document, "from_json", classmethod(from_json))
    return counts


@pytest.fixture
def opens(corpus):
    """Counts how often the silver file is opened."""
    counts, path, listening = Counter(), str(corpus / "silver.json"), [True]

    def hear(event, arguments):
        if event == "open" and listening and str(arguments[0]) == path:
            counts[path] += 1

    sys.addaudithook(hear)  # nobody can take it away again
    yield counts
    listening.clear()


@pytest.mark.parametrize("missing, most", [(0, 3), (1000, 7)])
def test_stage_1_with_report_and_cleaning(missing, most, parses, opens, bert_folder, corpus, tmp_path):
    """Missing labels are counted in two passes, judged, and shown."""
    options = {"write_clean": tmp_path / "clean.json", "cache_dir": tmp_path / "c", "num_train_epochs": 1}
    run("denoise", bert_folder, corpus, tmp_path / "out", missing_labels=missing, report=True, **options)
    assert len(parses) == 14 and max(parses.values()) <= most
    assert opens.total() <= 2
    assert (tmp_path / "out" / "report.html").exists() and (tmp_path / "clean.json").exists()


def test_stage_2(parses, opens, bert_folder, corpus, tmp_path):
    run("pretrain", bert_folder, corpus, tmp_path / "out", cache_dir=tmp_path / "c", max_steps=1)
    assert len(parses) == 14 and max(parses.values()) <= 2
    assert opens.total() <= 2


def test_a_second_start_parses_nothing(parses, bert_folder, corpus, tmp_path):
    for name in ("one", "two"):
        parses.clear()
        run("pretrain", bert_folder, corpus, tmp_path / name, cache_dir=tmp_path / "c", max_steps=1)
    assert not parses
