"""The cleaned corpus: which labels stay, and that everything else stands as it did, in every format."""

import gzip
import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finecl_hf.data.readers import read_documents, write_documents
from finecl_hf.denoising.cleaning import CleanCounts, check_clean_output, choose_labels, clean_corpus, write_clean
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.learning_order.table import LearningOrder
from tests.data.test_sentence_formats import SEMEVAL, fewrel, opennre, tacred


def without(documents, dropped, is_record=False):
    """The documents without the facts of these ids; without the whole document where a fact is a record."""
    cleaned = []
    for document in documents:
        facts = [fact for fact in document.relations if document.instance_id(fact) not in dropped]
        if not is_record or len(facts) == len(document.relations):
            cleaned.append(replace(document, relations=facts))
    return cleaned


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


# What to keep


def test_threshold_and_share():
    trust = np.array([0.1, 0.9, 0.5, 0.5])
    ids = list("abcd")
    assert choose_labels(trust, ids, threshold=0.5).tolist() == [False, True, True, True]
    assert choose_labels(trust, ids, share=0.25).tolist() == [False, True, False, False]
    assert choose_labels(trust, ids, share=0).sum() == 0 and choose_labels(trust, ids, share=1).all()
    assert choose_labels(np.zeros(0), [], share=0.5).shape == (0,)


def test_ties_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    ids, trust = np.array([f"d{i}#0#1#r" for i in range(200)]), rng.integers(0, 3, 200) / 2
    chosen = {*ids[choose_labels(trust, ids, share=0.6)]}
    assert len(chosen) == 120
    for _ in range(5):
        rows = rng.permutation(200)
        assert {*ids[rows][choose_labels(trust[rows], pa.array(ids[rows]), share=0.6)]} == chosen
    assert chosen > {*ids[trust == 1]} and not chosen & {*ids[trust == 0]}


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, "one of the two"),
        ({"threshold": 0.5, "share": 0.5}, "one of the two"),
        ({"threshold": 1.5}, "threshold 1.5 is out of range"),
        ({"share": float("nan")}, "share nan is out of range"),
    ],
)
def test_choices_that_make_no_sense(options, words):
    with pytest.raises(FineCLError, match=words):
        choose_labels(np.array([0.5]), ["a"], **options)


@pytest.mark.parametrize("trust", [[0.5], [0.5, np.nan], [[0.5, 0.5]]])
def test_each_label_needs_one_trust(trust):
    with pytest.raises(FineCLError, match="each of the 2 labels needs one trust"):
        choose_labels(np.array(trust), ["a", "b"], share=0.5)


# Every format


@pytest.mark.parametrize("name", ["c.json", "c.json.gz", "c.jsonl", "c.jsonl.gz", "c.parquet"])
@pytest.mark.parametrize("dropped", [0, 1, 3, 4])
def test_documents_lose_the_dropped_labels_only(tmp_path, ada, curie, name, dropped):
    (tmp_path / "in").mkdir()
    write_documents([ada, curie], tmp_path / "in" / name)
    counts = check(tmp_path / "in" / name, tmp_path / name, dropped, is_record=False)
    assert counts.documents == 2 and counts.left_out == 0
    assert (tmp_path / name).read_bytes()[:2] == (tmp_path / "in" / name).read_bytes()[:2]
    if not dropped and ".parquet" not in name:
        opened = [gzip.open if name.endswith(".gz") else open] * 2
        before, after = (f(p, "rb").read() for f, p in zip(opened, (tmp_path / "in" / name, tmp_path / name)))  # noqa: B905
        assert before == after


def test_docred_keeps_its_other_keys(tmp_path, docred):
    (tmp_path / "in.json").write_text(json.dumps(docred, indent=1))
    check(tmp_path / "in.json", tmp_path / "out.json", 1, is_record=False)
    written = json.loads((tmp_path / "out.json").read_text())
    labels = docred[0]["labels"]
    assert written == [{**docred[0], "labels": labels[2:]}, *docred[1:]]  # both copies of the dropped label are gone
    assert json.dumps(docred[1], indent=1).replace("\n", "\n ") in (tmp_path / "out.json").read_text()


def test_half_a_character_in_a_key_that_nobody_reads(tmp_path, ada):
    raw = {**ada.to_dict(), "note": "\ud800é"}
    (tmp_path / "in.jsonl").write_text(json.dumps(raw) + "\n")
    check(tmp_path / "in.jsonl", tmp_path / "out.jsonl", 1, is_record=False)
    assert json.loads((tmp_path / "out.jsonl").read_text())["note"] == raw["note"]


def test_labels_as_a_struct_of_lists(tmp_path, ada):
    facts = ada.relations
    labels = {
        "head": [fact.head for fact in facts],
        "tail": [fact.tail for fact in facts],
        "relation_id": [fact.relation for fact in facts],
        "relation_text": ["x", "y", "z"],
        "evidence": [fact.evidence for fact in facts],
    }
    schema_of_others = pa.schema({"score": pa.float32(), "kind": pa.dictionary(pa.int32(), pa.string())})
    table = pa.Table.from_pylist([{**ada.to_dict(), "labels": labels}])
    for field, value in zip(schema_of_others, (0.25, "a"), strict=True):
        table = table.append_column(field, pa.array([value], field.type))
    table = table.replace_schema_metadata({"key": "value"})
    pq.write_table(table, tmp_path / "in.parquet")
    check(tmp_path / "in.parquet", tmp_path / "out.parquet", 1, is_record=False)
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.schema.equals(pq.read_schema(tmp_path / "in.parquet"), check_metadata=True)
    (row,) = written.to_pylist()
    assert row["labels"] == {name: column[1:] for name, column in labels.items()}
    assert {**row, "labels": 0} == {**table.to_pylist()[0], "labels": 0}


@pytest.mark.parametrize("end", ["", '3\t"<e1>a</e1> <e2>b</e2>"\nMessage-Topic(e1,e2)\n'])
def test_semeval_blocks_stay_verbatim(tmp_path, end):
    blocks = SEMEVAL.split("2\t")
    (tmp_path / "in.txt").write_bytes((SEMEVAL + end + blocks[0].replace("1\t", "4\t", 1)).encode())
    counts = check(tmp_path / "in.txt", tmp_path / "out.TXT", 1, is_record=True)
    assert counts.left_out == 1
    expected = "2\t" + blocks[1] + end + blocks[0].replace("1\t", "4\t", 1)
    assert (tmp_path / "out.TXT").read_bytes() == expected.encode()


def test_tacred_items_stay_verbatim(tmp_path):
    items = [
        tacred(id="a", lemma=["x"], score=1.50),
        tacred(id="b"),
        tacred(id="c", relation="no_relation", stanford_ner=[]),
    ]
    text = [json.dumps(item, indent=2) for item in items]
    (tmp_path / "in.json").write_text(f"[{', '.join(text)}]")
    counts = check(tmp_path / "in.json", tmp_path / "out.json", 1, is_record=True)
    assert (tmp_path / "out.json").read_text() == f"[\n{text[1]},\n{text[2]}\n]\n"
    assert counts == CleanCounts(kept=1, dropped=1, documents=2, left_out=1)


def test_fewrel_keeps_its_nesting(tmp_path):
    def instance(word, **more):
        raw = fewrel(tokens=[word, *fewrel()["tokens"][1:]], **more)
        return {key: value for key, value in raw.items() if key != "relation"}

    raw = {"P1": [instance("a")], "P é": [instance("b", note=[1]), instance("c")], "P3": [instance("d")]}
    (tmp_path / "in.json").write_text(json.dumps(raw, ensure_ascii=False), encoding="utf-8")
    check(tmp_path / "in.json", tmp_path / "out.json.gz", 2, is_record=True)
    assert json.loads(gzip.open(tmp_path / "out.json.gz").read()) == {"P é": raw["P é"][1:], "P3": raw["P3"]}


def test_opennre_lines_stay_verbatim(tmp_path):
    words = {"token": ["Jobs", "founded", "Apple"], "h": {"name": "Jobs", "pos": [0, 1]}, "t": {"pos": [2, 3]}}
    records = [opennre(), opennre(text="absent", id="x", **words), opennre(relation="NA", id=7, more=1.50)]
    lines = [json.dumps(records[0]), json.dumps(records[1], separators=(" ,", ":")), json.dumps(records[2]) + "\r"]
    for name in ("{}.jsonl", "{}.txt"):
        source, output = tmp_path / name.format("in"), tmp_path / name.format("out")
        source.write_bytes("\n\n".join(lines).encode())
        check(source, output, 1, is_record=True)
        assert output.read_bytes() == f"{lines[1]}\n{lines[2]}\n".encode()


def test_a_repeated_sentence_takes_the_free_name(tmp_path):
    lines = [json.dumps(opennre(relation=relation)) for relation in ("a", "b")]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    first, second = read_documents(tmp_path / "in.jsonl")
    assert second.title == first.title + "-2"
    ids = ids_of([first, second])
    write_clean(tmp_path / "in.jsonl", tmp_path / "out.jsonl", {ids[0]: False, ids[1]: True})
    assert (tmp_path / "out.jsonl").read_text() == lines[1] + "\n"
    assert read_documents(tmp_path / "out.jsonl") == [replace(second, title=first.title)]


def test_a_hub_dataset_becomes_docred_json(tmp_path, ada, curie, monkeypatch):
    write_documents([ada, curie], tmp_path / "cached.parquet")
    monkeypatch.setattr("finecl_hf.data.readers.hub_files", lambda name, split: [(name, tmp_path / "cached.parquet")])
    ids = ids_of([ada, curie])
    counts = write_clean("user/name", tmp_path / "out.jsonl", dict.fromkeys(ids[1:], True) | {ids[0]: False})
    assert read_documents(tmp_path / "out.jsonl") == without([ada, curie], {ids[0]})
    assert str(counts) == "kept 4 of 5 labels in 2 documents."


# Labels the order does not know, and mistakes


def test_unknown_labels_stay_unless_told_otherwise(tmp_path, ada, curie):
    write_documents([ada, curie], tmp_path / "in.json")
    ids = ids_of([ada, curie])
    order = LearningOrder([*ids[:4], "another"], first_epoch=[0, 1, 2, -1, 0])
    trust = np.array([1, 0.5, 0.2, 0, 1])
    counts = clean_corpus(tmp_path / "in.json", tmp_path / "out.json", order, trust, threshold=0.5)
    assert ids_of(read_documents(tmp_path / "out.json")) == [*ids[:2], ids[4]]
    assert str(counts) == ("kept 3 of 5 labels in 2 documents; 1 labels that stage 1 has not judged were kept.")
    counts = clean_corpus(tmp_path / "in.json", tmp_path / "out.json", order, trust, share=0.4, drop_unknown=True)
    assert len(ids_of(read_documents(tmp_path / "out.json"))) == counts.kept == 1
    assert "1 labels that stage 1 has not judged were dropped" in str(counts)


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


@pytest.mark.parametrize(
    "name, words",
    [
        ("out.parquet", "written as in.json is, so let its name end in .json"),
        ("out.jsonl", "`finecl-hf convert` changes the format"),
        ("out.jsonl.gz", "let its name end in .json"),
    ],
)
def test_the_name_must_fit_the_format(tmp_path, ada, name, words):
    write_documents([ada], tmp_path / "in.json")
    assert words in error_of(tmp_path / "in.json", tmp_path / name, dict.fromkeys(ids_of([ada]), True))


def test_other_sources_that_cannot_be_cleaned(tmp_path, ada):
    out = tmp_path / "out.json"
    assert "there is no such file" in error_of(tmp_path / "missing.json", out, {})
    write_documents([replace(ada, relations=[], labelled=False)], tmp_path / "bare.json")
    assert "no labels to clean" in error_of(tmp_path / "bare.json", out, {})
    write_documents([ada], tmp_path / "in.json")
    with pytest.raises(FineCLError, match="this file is read"):
        write_clean(tmp_path / "in.json", tmp_path / "in.json", {})
    write_documents([ada], tmp_path / "in.parquet")
    message = error_of(tmp_path / "in.parquet", tmp_path / "out.parquet.gz", dict.fromkeys(ids_of([ada]), True))
    assert "compressed by itself" in message


def test_invalid_records_stop_or_are_left_out(tmp_path, ada, curie):
    records = [ada.to_dict(), {"title": "b"}, curie.to_dict()]
    (tmp_path / "in.json").write_text(json.dumps(records))
    verdicts = dict.fromkeys(ids_of([ada, curie]), True)
    assert 'document 1 ("b")' in error_of(tmp_path / "in.json", tmp_path / "out.json", verdicts)
    counts = write_clean(tmp_path / "in.json", tmp_path / "out.json", verdicts, skip_invalid=True)
    assert read_documents(tmp_path / "out.json") == [ada, curie]
    assert str(counts) == "kept 5 of 5 labels in 2 documents; 1 invalid documents were left out."


def test_a_file_cut_off_leaves_the_old_output(tmp_path, ada, curie):
    write_documents([ada, curie], tmp_path / "in.json")
    text = (tmp_path / "in.json").read_bytes()
    (tmp_path / "in.json").write_bytes(text[: len(text) - 20])
    (tmp_path / "out.json").write_text("old")
    with pytest.raises(DocumentError, match="the file ends in the middle"):
        write_clean(tmp_path / "in.json", tmp_path / "out.json", dict.fromkeys(ids_of([ada, curie]), True))
    assert (tmp_path / "out.json").read_text() == "old"


def test_memory_does_not_grow_with_the_corpus(tmp_path, ada):
    ada.sentences[1] *= 200
    with open(tmp_path / "in.jsonl", "w") as file:
        for i in range(1500):
            file.write(json.dumps({**ada.to_dict(), "title": f"{i}"}) + "\n")
    verdicts = {"0#0#1#born in": False}

    class Known(dict):
        def get(self, key, default=None):
            return verdicts.get(key, True)

    tracemalloc.start()
    counts = write_clean(tmp_path / "in.jsonl", tmp_path / "out.jsonl", Known())
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
