"""The cleaned corpus: which labels stay, and that everything else of a document stands as it did."""

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from finecl_hf.data.readers import read_documents, valid_records, write_documents
from finecl_hf.denoising import cleaning
from finecl_hf.denoising.cleaning import check_clean_output, clean_corpus, clean_files
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order.table import LearningOrder
from tests.data.formats.test_sentences import SEMEVAL, fewrel, opennre, tacred


def without(documents, dropped, is_record=False):
    """The documents without the facts of these ids; without the whole document where a fact is a record."""
    cleaned = []
    for document in documents:
        facts = [fact for fact in document.relations if document.instance_id(fact) not in dropped]
        if not is_record or len(facts) == len(document.relations):
            cleaned.append(replace(document, relations=facts))
    return cleaned


def write_clean(source, output, verdicts, skip_invalid=False, **options):
    """Cleans a file by verdicts on instance ids."""
    by_key = {text_key(name): keep for name, keep in verdicts.items()}
    records = valid_records(source, skip_invalid=skip_invalid)
    return cleaning.write_clean(records, output, by_key, source=source, **options)


def ids_of(documents):
    return [document.instance_id(fact) for document in documents for fact in document.relations]


def check(source, output, number_dropped, is_record, **options):
    """Drops the first so many labels of a file and compares what is read then. Returns the counts."""
    before = read_documents(source)
    ids = ids_of(before)
    dropped = set(ids[:number_dropped])
    counts = write_clean(source, output, {name: name not in dropped for name in ids}, **options)
    assert read_documents(output) == without(before, dropped, is_record)
    assert (counts.kept, counts.dropped) == (len(ids) - number_dropped, number_dropped)
    return counts


@pytest.fixture
def docred(ada, curie):
    """Raw documents with keys of their own, a label written twice and numbers written as strings."""
    first, second = ada.to_dict(), curie.to_dict()
    first["labels"].insert(1, {**first["labels"][0], "h": "0", "note": "é"})
    first["labels"][3]["in_train"] = True
    first["vertexSet"][0][0] |= {"global_pos": [0, 2], "index": "0_0"}
    return [{**first, "Ns": 1.50, "extra": {"a": None}}, second, {**second, "title": "bare", "labels": []}]


# Every format


@pytest.mark.parametrize("name", ["c.json", "c.json.gz", "c.jsonl", "c.jsonl.gz", "c.parquet"])
@pytest.mark.parametrize("dropped", [0, 1, 3, 4])
def test_documents_lose_the_dropped_labels_only(tmp_path, ada, curie, name, dropped):
    (tmp_path / "in").mkdir()
    write_documents([ada, curie], tmp_path / "in" / name)
    counts = check(tmp_path / "in" / name, tmp_path / name, dropped, is_record=False)
    assert counts.documents == 2 and counts.left_out == 0
    assert (tmp_path / name).read_bytes()[:2] == (tmp_path / "in" / name).read_bytes()[:2]
    if not dropped:
        assert (tmp_path / name).read_bytes() == (tmp_path / "in" / name).read_bytes()


def test_docred_keeps_its_other_keys(tmp_path, docred):
    (tmp_path / "in.json").write_text(json.dumps(docred, indent=1))
    check(tmp_path / "in.json", tmp_path / "out.json", 1, is_record=False)
    written = json.loads((tmp_path / "out.json").read_text())
    labels = docred[0]["labels"]
    assert written == [{**docred[0], "labels": labels[2:]}, *docred[1:]]  # both copies of the dropped label are gone


def test_half_a_character_in_a_key_that_nobody_reads(tmp_path, ada):
    raw = {**ada.to_dict(), "note": "\ud800é"}
    (tmp_path / "in.jsonl").write_text(json.dumps(raw) + "\n")
    check(tmp_path / "in.jsonl", tmp_path / "out.jsonl", 1, is_record=False)
    assert json.loads((tmp_path / "out.jsonl").read_text())["note"] == raw["note"]


def test_labels_as_a_struct_of_lists_become_a_list(tmp_path, ada):
    facts = ada.relations
    labels = {
        "head": [fact.head for fact in facts],
        "tail": [fact.tail for fact in facts],
        "relation_id": [fact.relation for fact in facts],
        "evidence": [fact.evidence for fact in facts],
    }
    (tmp_path / "in.json").write_text(json.dumps([{**ada.to_dict(), "labels": labels, "note": 1}]))
    for output in ("out.json", "out.parquet"):
        check(tmp_path / "in.json", tmp_path / output, 1, is_record=False)
    (written,) = json.loads((tmp_path / "out.json").read_text())
    assert [label["r"] for label in written["labels"]] == [fact.relation for fact in facts[1:]]
    assert written["note"] == 1


@pytest.mark.parametrize(
    "name, text",
    [
        ("in.txt", SEMEVAL + SEMEVAL.replace("1\t", "3\t", 1).replace("2\t", "4\t", 1)),
        ("in.json", json.dumps([tacred(id="a"), tacred(id="b"), tacred(id="c", relation="no_relation")])),
        ("in.json", json.dumps({"P1": [{key: value for key, value in fewrel().items() if key != "relation"}] * 2})),
        ("in.jsonl", "\n".join(json.dumps(opennre(id=name)) for name in "ab")),
    ],
)
def test_a_sentence_goes_with_its_only_label(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    counts = check(tmp_path / name, tmp_path / "out.jsonl", 1, is_record=True)
    assert counts.left_out == 1 and counts.documents == len(read_documents(tmp_path / name)) - 1


def test_a_hub_dataset_becomes_docred_json(tmp_path, ada, curie, monkeypatch):
    write_documents([ada, curie], tmp_path / "cached.parquet")
    monkeypatch.setattr("finecl_hf.data.readers.hub_files", lambda name, split: [(name, tmp_path / "cached.parquet")])
    ids = ids_of([ada, curie])
    counts = write_clean("user/name", tmp_path / "out.jsonl", dict.fromkeys(ids[1:], True) | {ids[0]: False})
    assert read_documents(tmp_path / "out.jsonl") == without([ada, curie], {ids[0]})
    assert str(counts) == "kept 4 of 5 labels in 2 documents."


# Labels the order does not know, and mistakes


def test_unknown_labels_stay_unless_told_otherwise(tmp_path, ada, curie):
    source = tmp_path / "in.json"
    write_documents([ada, curie], source)
    ids = ids_of([ada, curie])
    order = LearningOrder([*ids[:4], "another"], first_epoch=[0, 1, 2, -1, 0])
    trust = np.array([1, 0.5, 0.2, 0, 1])
    counts = clean_corpus(valid_records(source), tmp_path / "out.json", order, trust, source=source, threshold=0.5)
    assert ids_of(read_documents(tmp_path / "out.json")) == [*ids[:2], ids[4]]
    assert str(counts) == ("kept 3 of 5 labels in 2 documents; kept 1 label that stage 1 has not judged.")
    counts = clean_corpus(
        valid_records(source), tmp_path / "out.json", order, trust, source=source, share=0.4, drop_unknown=True
    )
    assert len(ids_of(read_documents(tmp_path / "out.json"))) == counts.kept == 1
    assert "dropped 1 label that stage 1 has not judged" in str(counts)


def error_of(source, output, verdicts, **options):
    with pytest.raises(FineCLError) as caught:
        write_clean(source, output, verdicts, **options)
    assert "\n" not in str(caught.value) and not output.exists()
    assert not list(output.parent.glob(".*.tmp"))
    return str(caught.value)


def test_an_order_of_another_corpus_is_refused(tmp_path, ada, curie):
    write_documents([ada, curie], tmp_path / "in.json")
    ids = ids_of([ada, curie])
    out = tmp_path / "out.json"
    assert "knows none of the 5 labels" in error_of(tmp_path / "in.json", out, {"x": True})
    assert "knows none of the 5 labels" in error_of(tmp_path / "in.json", out, {"x": True}, drop_unknown=True)
    assert "knows only 2 of 5 labels" in error_of(tmp_path / "in.json", out, dict.fromkeys(ids[:2], True))
    assert "not one of 5 labels would be left" in error_of(tmp_path / "in.json", out, dict.fromkeys(ids, False))
    write_clean(tmp_path / "in.json", out, dict.fromkeys(ids[:2], True), drop_unknown=True)
    assert ids_of(read_documents(out)) == ids[:2]


def test_nothing_left_of_sentences(tmp_path):
    (tmp_path / "in.jsonl").write_text(json.dumps(opennre(id="x")))
    message = error_of(tmp_path / "in.jsonl", tmp_path / "out.jsonl", {"x#0#1#founder of": False})
    assert "not one of 1 labels would be left; keep a larger share, or lower the threshold" in message


@pytest.mark.parametrize("name", ["out.txt", "out.parquet.gz", "out"])
def test_the_name_must_be_one_that_is_written(tmp_path, ada, name):
    write_documents([ada], tmp_path / "in.json")
    assert ".jsonl" in error_of(tmp_path / "in.json", tmp_path / name, dict.fromkeys(ids_of([ada]), True))
    with pytest.raises(FineCLError, match="jsonl"):
        check_clean_output(tmp_path / "in.json", tmp_path / name)


def test_other_sources_that_cannot_be_cleaned(tmp_path, ada):
    out = tmp_path / "out.json"
    assert "there is no such file" in error_of(tmp_path / "missing.json", out, {})
    write_documents([replace(ada, relations=[], labelled=False)], tmp_path / "bare.json")
    assert "no labels to clean" in error_of(tmp_path / "bare.json", out, {})
    write_documents([ada], tmp_path / "in.json")
    with pytest.raises(FineCLError, match="this file is read"):
        write_clean(tmp_path / "in.json", tmp_path / "in.json", {})


def test_invalid_records_stop_or_are_left_out(tmp_path, ada, curie):
    records = [ada.to_dict(), {"title": "b"}, curie.to_dict()]
    (tmp_path / "in.json").write_text(json.dumps(records))
    verdicts = dict.fromkeys(ids_of([ada, curie]), True)
    assert 'document 1 ("b")' in error_of(tmp_path / "in.json", tmp_path / "out.json", verdicts)
    counts = write_clean(tmp_path / "in.json", tmp_path / "out.json", verdicts, skip_invalid=True)
    assert read_documents(tmp_path / "out.json") == [ada, curie]
    assert counts.kept == 5 and counts.documents == 2


def test_a_file_cut_off_leaves_the_old_output(tmp_path, ada, curie):
    write_documents([ada, curie], tmp_path / "in.json")
    text = (tmp_path / "in.json").read_bytes()
    (tmp_path / "in.json").write_bytes(text[: len(text) - 20])
    (tmp_path / "out.json").write_text("old")
    with pytest.raises(DocumentError, match="the file ends in the middle"):
        write_clean(tmp_path / "in.json", tmp_path / "out.json", dict.fromkeys(ids_of([ada, curie]), True))
    assert (tmp_path / "out.json").read_text() == "old"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path, ada):
    ada.sentences[1] *= 200
    with open(tmp_path / "in.jsonl", "w") as file:
        for i in range(1500):
            file.write(json.dumps({**ada.to_dict(), "title": f"{i}"}) + "\n")
    dropped = text_key("0#0#1#born in")

    class Known(dict):
        def get(self, key, default=None):
            return key != dropped

    tracemalloc.start()
    records = valid_records(tmp_path / "in.jsonl")
    counts = cleaning.write_clean(records, tmp_path / "out.jsonl", Known(), source=tmp_path / "in.jsonl")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts.dropped == 1 and counts.kept == 4499
    assert peak < 8 << 20 < (tmp_path / "in.jsonl").stat().st_size


def test_shards_are_written_as_one_file_and_never_over(tmp_path, ada, curie):
    for number, document in enumerate((ada, curie)):
        write_documents([document], tmp_path / "shards" / f"silver-{number}.jsonl")
    pattern, shard = str(tmp_path / "shards" / "silver-*.jsonl"), tmp_path / "shards" / "silver-1.jsonl"
    facts = [(document, fact) for document in (ada, curie) for fact in document.relations]
    verdicts = {document.instance_id(fact): fact.relation != "born in" for document, fact in facts}
    for source in (pattern, tmp_path / "shards"):
        write_clean(source, tmp_path / "clean.json", verdicts)
        cleaned = read_documents(tmp_path / "clean.json")
        kept = [[fact.relation for fact in document.relations] for document in cleaned]
        assert kept == [["located in", "capital of"], ["died in"]]
        with pytest.raises(FineCLError, match="this file is read"):
            write_clean(source, shard, verdicts)
        with pytest.raises(FineCLError, match="this file is read"):
            check_clean_output(source, shard)
    assert read_documents(pattern) == [ada, curie]


def test_white_space_around_a_relation_loses_no_label(tmp_path, ada):
    raw = ada.to_dict()
    for label in raw["labels"]:
        label["r"] = f" {label['r']} "
    (tmp_path / "a.json").write_text(json.dumps([raw]))
    order = LearningOrder.for_documents([ada])
    order.record_epoch([0.9, 0.8, 0.1], [1.0, 1.0, -1.0], [True, True, False])
    order.write(tmp_path / "order.parquet")
    clean_files(tmp_path / "order.parquet", tmp_path / "a.json", tmp_path / "c.json", "probability", threshold=0.5)
    assert [fact.relation for fact in read_documents(tmp_path / "c.json")[0].relations] == [
        fact.relation for fact in ada.relations[:2]
    ]


def test_a_share_is_one_of_the_labels_of_this_corpus(tmp_path, ada, curie):
    write_documents([ada], tmp_path / "a.json")
    order = LearningOrder.for_documents([ada, curie])
    order.record_epoch([0.9, 0.8, 0.7, 0.2, 0.1], [1.0] * 5, [True] * 5)  # those that are not here are trusted least
    order.write(tmp_path / "order.parquet")
    counts = clean_files(
        tmp_path / "order.parquet", tmp_path / "a.json", tmp_path / "c.json", "probability", share=2 / 3
    )
    assert str(counts) == "kept 2 of 3 labels in 1 document."
