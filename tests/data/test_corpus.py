"""A corpus is read once, validated, and sampled alike whatever its order."""

import gc
import json
import logging
import os
from collections import Counter

import numpy as np
import pytest

from finecl_hf.data import corpus as corpus_module
from finecl_hf.data.corpus import (
    COLUMNS,
    check_corpus,
    documents_of,
    iter_corpus,
    keys_of,
    load_corpus,
    relation_counts,
    sample_fraction,
)
from finecl_hf.data.documents import Document, Fact, Mention, gc_paused
from finecl_hf.data.readers import read_documents, write_documents
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.hashing import mix, text_key
from finecl_hf.learning_order.facts import chunks_in, collect_facts
from finecl_hf.learning_order.table import LearningOrder
from tests.helpers.held_out import exclude


@pytest.fixture
def source(tmp_path, ada, curie):
    path = tmp_path / "documents.json"
    write_documents([ada, curie], path)
    return str(path)


@pytest.fixture
def load(tmp_path):
    return lambda source, **kwargs: load_corpus(str(source), cache_dir=str(tmp_path / "cache"), **kwargs)


@pytest.fixture
def broken(tmp_path, ada, curie):
    """Documents 1 and 3 of 4 are invalid."""
    path = tmp_path / "broken.json"
    records = [ada.to_dict(), {**ada.to_dict(), "title": "b", "vertexSet": []}, curie.to_dict(), {"title": "d"}]
    path.write_text(json.dumps(records))
    return str(path)


def sentence(title, relation=None):
    facts = [Fact(0, 1, relation)] if relation else []
    return Document(title, [["a", "b"]], [[Mention("a", 0, 0, 1)], [Mention("b", 0, 1, 2)]], facts, pairs=[(0, 1)])


def write(path, documents):
    write_documents(documents, path)
    return str(path)


@pytest.mark.parametrize("extension", ["json", "jsonl.gz", "parquet"])
def test_documents_come_back_equal_and_in_order(extension, tmp_path, load, ada, curie):
    odd = Document("odd\u2028🇫🇷 \x00", [["", "é\u0301"], []], [], labelled=False)
    documents = [curie, odd, ada, sentence("s", "r")]
    corpus = load(write(tmp_path / f"corpus.{extension}", documents))
    assert documents_of(corpus) == list(iter_corpus(corpus)) == documents
    assert corpus.column_names == list(COLUMNS)
    assert list(corpus["key"]) == [text_key(document.title) for document in documents]
    assert relation_counts(corpus) == {"born in": 2, "located in": 1, "capital of": 1, "died in": 1, "r": 1}


def test_the_second_start_reads_no_file(source, load, monkeypatch):
    first = load(source)
    monkeypatch.setattr(corpus_module, "iter_documents", lambda *args, **kwargs: pytest.fail("read again"))
    again = load(source)
    assert again.to_dict() == first.to_dict() and again.cache_files == first.cache_files


def test_another_version_reads_the_file_again(source, load, monkeypatch):
    first = load(source)
    monkeypatch.setattr(corpus_module, "__version__", "another")
    assert load(source).cache_files != first.cache_files


def test_a_changed_file_is_read_again(source, load, ada, curie):
    load(source)
    write_documents([curie, ada], source)  # of the same size
    os.utime(source, ns=(1, 1))
    assert documents_of(load(source)) == [curie, ada]
    write_documents([ada], source)
    os.utime(source, ns=(1, 1))
    assert documents_of(load(source)) == [ada]


def test_a_changed_dataset_on_the_hub_is_read_again(load, ada, curie, monkeypatch):
    versions = {"1": [ada], "2": [curie], None: [ada, curie]}
    for commit, documents in versions.items():
        monkeypatch.setattr(corpus_module, "commit_of", lambda dataset, commit=commit: commit)
        monkeypatch.setattr(corpus_module, "iter_documents", lambda *args, documents=documents, **kwargs: documents)
        assert documents_of(load("user/corpus")) == documents
    monkeypatch.setattr(corpus_module, "commit_of", lambda dataset: "1")
    assert documents_of(load("user/corpus")) == [ada]  # from the cache


def test_files_of_one_name_are_told_apart(tmp_path, load, ada, curie, monkeypatch):
    for name, documents in (("one", [ada]), ("two", [curie])):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "train.json", documents)
        os.utime(tmp_path / name / "train.json", ns=(1, 1))
    found = []
    for name in ("one", "two"):
        monkeypatch.chdir(tmp_path / name)
        found += documents_of(load("train.json"))
    assert found == [ada, curie]


def test_one_invalid_document_is_told_once(tmp_path, load, ada):
    (tmp_path / "one.json").write_text(json.dumps([ada.to_dict(), {"title": "a"}]))
    with pytest.raises(DocumentError, match=r'^[^ ]*one.json, document 1 \("a"\): the key "sents" is missing'):
        load(tmp_path / "one.json")


def test_several_invalid_documents_are_counted(broken, load):
    with pytest.raises(FineCLError) as error:
        load(broken)
    text = str(error.value)
    assert text.startswith(f"{broken}: 2 of 4 documents are invalid. The first: {broken}, document 1")
    assert "does not exist; the document has 0" in text and "`--skip_invalid` goes on without them" in text
    with pytest.raises(FineCLError, match="2 of 4 documents are invalid"):  # from the cache, too
        load(broken)


def test_skip_invalid_leaves_them_out_and_says_so(broken, load, ada, curie, caplog):
    with caplog.at_level(logging.WARNING):
        assert documents_of(load(broken, skip_invalid=True)) == [ada, curie]
    assert "2 of 4 documents are invalid" in caplog.text and "They are left out." in caplog.text


@pytest.mark.parametrize("skip_invalid", [False, True])
def test_a_file_without_a_valid_document_is_refused(tmp_path, load, skip_invalid):
    (tmp_path / "one.json").write_text('[{"title": "a"}]')
    with pytest.raises(DocumentError, match=r'one.json, document 0 \("a"\): the key "sents" is missing'):
        load(tmp_path / "one.json", skip_invalid=skip_invalid)
    (tmp_path / "two.json").write_text('[{"title": "a"}, {"title": "b"}]')
    with pytest.raises(FineCLError, match="2 of 2 documents are invalid"):
        load(tmp_path / "two.json", skip_invalid=skip_invalid)


@pytest.mark.parametrize(
    "text, message",
    [("", "the file is empty"), ("[]", "there are no documents in it"), ("nonsense", "the file is not JSON")],
)
def test_what_concerns_the_whole_file_is_told_without_a_wrapper(text, message, tmp_path, load):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(DocumentError, match=f"bad.json: {message}") as error:
        load(tmp_path / "bad.json")
    assert error.value.__cause__ is None


def test_a_file_cut_off_and_a_missing_one(source, tmp_path, load):
    (tmp_path / "cut.json").write_text(open(source).read()[:-5])
    with pytest.raises(DocumentError, match="cut.json, document 1: the file ends"):
        load(tmp_path / "cut.json")
    with pytest.raises(DocumentError, match="missing.json: there is no such file"):
        load(tmp_path / "missing.json")
    with pytest.raises(DocumentError, match="this folder holds different files"):
        load(tmp_path)


def test_other_errors_are_not_dressed_up(source, load, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("a bug")

    monkeypatch.setattr(corpus_module, "iter_documents", fail)
    with pytest.raises(Exception, match=r"(?i)generat") as error:
        load(source)
    assert not isinstance(error.value, FineCLError) and isinstance(error.value.__cause__, RuntimeError)


@pytest.mark.parametrize("wanted, count", [(1, 1), (2, 2), (5, 2), (None, 2)])
def test_max_documents_takes_the_first(wanted, count, source, load, ada, curie):
    assert documents_of(load(source, max_documents=wanted)) == [ada, curie][:count]


def test_max_documents_counts_valid_ones(broken, load, ada, curie):
    assert documents_of(load(broken, skip_invalid=True, max_documents=2)) == [ada, curie]


# Shards -------------------------------------------------------------------------------------------


@pytest.fixture
def shards(tmp_path):
    """Five shards of four documents."""
    for i in range(5):
        write(tmp_path / "shards" / f"silver-{i}.jsonl", [sentence(f"d{i}{j}", "r") for j in range(4)])
    return tmp_path / "shards"


def test_shards_are_one_corpus_for_any_number_of_processes(shards, load, monkeypatch):
    one = load(shards)
    assert [document.title for document in iter_corpus(one)] == [f"d{i}{j}" for i in range(5) for j in range(4)]
    assert one["index"][5] == 1 and one["source"][5] == str(shards / "silver-1.jsonl")
    assert load_corpus(str(shards), cache_dir=str(shards.parent / "other"), num_proc=3).to_dict() == one.to_dict()
    monkeypatch.setattr(corpus_module, "iter_documents", lambda *args, **kwargs: pytest.fail("read again"))
    assert load(shards, num_proc=2).cache_files == load(shards / "*.jsonl", num_proc=8).cache_files == one.cache_files


def test_a_changed_shard_is_read_again(shards, load):
    assert len(load(shards)) == 20
    write(shards / "silver-3.jsonl", [sentence("new")])
    assert len(load(shards)) == 17


@pytest.mark.parametrize("num_proc", [1, 2])
def test_messages_name_the_shard_whatever_process_reads_it(num_proc, shards, load):
    lines = (shards / "silver-3.jsonl").read_text().splitlines()
    (shards / "silver-3.jsonl").write_text("\n".join([*lines, '{"title": "x"}']))
    with pytest.raises(DocumentError, match=r'silver-3.jsonl, document 4 \("x"\): the key "sents" is missing'):
        load(shards, num_proc=num_proc)
    (shards / "silver-3.jsonl").write_bytes(b"\xff")
    with pytest.raises(DocumentError, match="silver-3.jsonl: the byte 0xff is not UTF-8"):
        load(shards, num_proc=num_proc)


def test_a_title_in_two_shards(shards, load, caplog):
    write(shards / "silver-3.jsonl", [sentence("d11"), sentence("new")])
    with pytest.raises(DocumentError) as error:
        load(shards)
    where, what = str(error.value).split("titles must be unique")
    assert where == f'{shards / "silver-3.jsonl"}, document 0 ("d11"), title: '
    assert f"document 1 of {shards / 'silver-1.jsonl'} has this one" in what
    assert len(load(shards, skip_invalid=True)) == 17


def test_what_could_not_be_read_is_not_remembered(source, load, ada, monkeypatch):
    def fail(*args, **kwargs):
        yield ada
        raise DocumentError("the disk is away for a moment.")

    monkeypatch.setattr(corpus_module, "iter_documents", fail)
    with pytest.raises(DocumentError, match="away"):
        load(source)
    monkeypatch.undo()
    assert len(load(source)) == 2


# Held-out pairs -----------------------------------------------------------------------------------


def test_held_out_pairs_leave_like_one_by_one(corpus, tmp_path, monkeypatch):
    silver = str(corpus / "silver.json")
    everything = read_documents(silver)
    test = write(tmp_path / "test.json", everything[3:6])
    documents, removed = exclude(everything, everything[3:6])
    assert 0 < removed < sum(len(document.relations) for document in everything)

    def load(cache, num_proc=None):
        cache = str(tmp_path / cache)
        return load_corpus(silver, cache_dir=cache, num_proc=num_proc, exclude=str(test))

    rest = load("cache")
    assert documents_of(rest) == documents and rest.column_names == list(COLUMNS)
    assert relation_counts(rest) == Counter(fact.relation for document in documents for fact in document.relations)
    assert load("other", num_proc=2).to_dict() == rest.to_dict()
    monkeypatch.setattr(corpus_module, "HeldOutPairs", lambda documents: pytest.fail("collected again"))
    assert load("cache", num_proc=2).cache_files == rest.cache_files
    os.utime(test, ns=(1, 1))
    with pytest.raises(pytest.fail.Exception):
        load("cache")


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_goes_on_as_it_was(enabled):
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ValueError), gc_paused():
            assert not gc.isenabled()
            raise ValueError
        assert gc.isenabled() == enabled
    finally:
        gc.enable()


# Facts --------------------------------------------------------------------------------------------


def test_facts_are_collected_once_for_any_number_of_processes(corpus, tmp_path, monkeypatch):
    def order(cache, num_proc=None):
        return LearningOrder.from_chunks(
            chunks_in(
                collect_facts(load_corpus(str(corpus / "silver.json"), cache_dir=str(tmp_path / cache)), num_proc)
            )
        )

    expected = LearningOrder.for_documents(read_documents(corpus / "silver.json")).to_table()
    assert order("one").to_table().equals(expected) and order("three", num_proc=3).to_table().equals(expected)
    monkeypatch.setattr("finecl_hf.learning_order.facts.chunk_of", lambda documents: pytest.fail("collected again"))
    assert order("one", num_proc=2).to_table().equals(expected) and order("three").to_table().equals(expected)


# Samples ------------------------------------------------------------------------------------------


def test_fractions_are_nested_and_independent_of_the_order(tmp_path, load):
    documents = [sentence(f"d{i}") for i in range(200)]
    corpus = load(write(tmp_path / "one.jsonl", documents))
    backwards = load(write(tmp_path / "two.jsonl", documents[::-1]))
    smaller = set()
    for fraction, size in [(0.001, 1), (0.01, 2), (0.1, 20), (0.5, 100), (1.0, 200)]:
        sample = [document.title for document in documents_of(sample_fraction(corpus, fraction, seed=3))]
        assert len(sample) == size and smaller <= set(sample)
        assert sample == sorted(sample, key=lambda title: int(title[1:]))  # the order of the corpus stays
        assert {d.title for d in documents_of(sample_fraction(backwards, fraction, seed=3))} == set(sample)
        smaller = set(sample)


def test_another_seed_draws_another_sample(tmp_path, load):
    corpus = load(write(tmp_path / "one.jsonl", [sentence(f"d{i}") for i in range(200)]))
    samples = [frozenset(sample_fraction(corpus, 0.5, seed)["key"]) for seed in range(4)]
    assert len(set(samples)) == 4
    assert all(30 < len(one & other) < 70 for one in samples for other in samples if one != other)


def loop_cover(documents, draws, nearly):
    """Document by document: one that adds nearly as many relations as any, of several the one with the lowest draw."""
    chosen, missing = [], {fact.relation for document in documents for fact in document.relations}
    while missing:
        gains = [len({fact.relation for fact in document.relations} & missing) for document in documents]
        near = [i for i, gain in enumerate(gains) if gain >= nearly * max(gains)]
        chosen.append(min(near, key=lambda i: draws[i]))
        missing -= {fact.relation for fact in documents[chosen[-1]].relations}
    return chosen


@pytest.fixture
def uneven(tmp_path):
    """300 sentences, of whose 20 relations most are rare, in a random order; and the same backwards."""
    relations = np.random.default_rng(0).zipf(1.3, 300) % 20
    documents = [sentence(f"d{i}", f"r{relation}") for i, relation in enumerate(relations)]
    return write(tmp_path / "one.jsonl", documents), write(tmp_path / "two.jsonl", documents[::-1])


def test_no_relation_vanishes_where_it_can_be_helped(uneven, load):
    corpus, backwards = map(load, uneven)
    everything = set(relation_counts(corpus))
    for seed in range(3):
        assert set(relation_counts(sample_fraction(corpus, len(everything) / 300, seed))) == everything
        few = sample_fraction(corpus, 5 / 300, seed)
        assert len(few) == len(relation_counts(few)) == 5
        assert sorted(few["key"]) == sorted(sample_fraction(backwards, 5 / 300, seed)["key"])


@pytest.mark.parametrize("nearly", [1.0, 0.75, 0.4])
def test_documents_with_many_relations_cover_the_others(nearly, tmp_path, load):
    draw = np.random.default_rng(1)
    documents = [
        Document(f"d{i}", [["a", "b"]], [[Mention("a", 0, 0, 1)], [Mention("b", 0, 1, 2)]],
                 [Fact(0, 1, f"r{r}") for r in np.unique(draw.zipf(1.4, draw.integers(1, 9)) % 30)])
        for i in range(60)
    ]  # fmt: skip
    corpus = load(write(tmp_path / "c.json", documents))
    for seed in range(3):
        draws = mix(corpus_module.SAMPLE, seed, keys_of(corpus))
        found = corpus_module._covering(*corpus_module._document_relations(corpus), draws, nearly)
        assert found.tolist() == loop_cover(documents, draws, nearly)


def test_a_tight_sample_covers_as_well_as_it_can(tmp_path, load, ada, curie):
    """Two documents hold all relations, and no others do."""
    corpus = load(write(tmp_path / "c.json", [*(sentence(f"s{i}", "born in") for i in range(9)), curie, ada]))
    for seed in range(9):
        assert sample_fraction(corpus, 2 / 11, seed)["title"][:] == ["Curie", "Ada"]


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan")])
def test_impossible_fractions(fraction, source, load):
    with pytest.raises(FineCLError, match="--train_fraction .* is out of range"):
        sample_fraction(load(source), fraction, 0)


# Checks -------------------------------------------------------------------------------------------


def test_an_unknown_relation_is_named(source, load):
    corpus = load(source)
    known = {"NA": 0, "born in": 1, "located in": 2, "capital of": 3, "died in": 4}
    check_corpus(corpus, known, "document")
    del known["died in"]
    with pytest.raises(DocumentError) as error:
        check_corpus(corpus, known, "document")
    assert str(error.value) == (
        f'{source}, document 1 ("Curie"), labels: the relation "died in" is not among the 3 relations the model '
        "knows; add it to --rel_info or to the training file, or drop the label."
    )
    with pytest.raises(DocumentError, match="document 1 "):  # its number in the file, whatever the order now
        check_corpus(corpus.select([1, 0]), known, "document")


def test_the_sentence_task_needs_sentences(source, tmp_path, load):
    sentences = load(write(tmp_path / "sentences.json", [sentence("one"), sentence("two", "r")]))
    check_corpus(sentences, {"NA": 0, "r": 1}, "sentence")
    check_corpus(sentences, {"NA": 0, "r": 1}, "document")
    with pytest.raises(
        DocumentError, match=r'documents.json, document 0 \("Ada"\), pairs: --task sentence needs exactly one'
    ):
        check_corpus(load(source), {"NA": 0}, "sentence")
