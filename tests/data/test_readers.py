"""Every format reads, every mistake is named by file, document and field, and everything written reads back equal."""

import gzip
import json
import logging
import os
import tempfile
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finecl_hf.data.documents import Document, Fact, Mention
from finecl_hf.data.readers import (
    EXTENSIONS,
    iter_documents,
    local_files,
    read_documents,
    write_documents,
)
from finecl_hf.errors import DocumentError
from tests.data.formats.test_sentences import SEMEVAL, fewrel, opennre, tacred


def raw_document(title="A", **changes):
    raw = {
        "title": title,
        "sents": [["Ada", "in", "London"]],
        "vertexSet": [
            [{"name": "Ada", "sent_id": 0, "pos": [0, 1], "type": "PER"}],
            [{"name": "London", "sent_id": 0, "pos": [2, 3], "type": "LOC"}],
        ],
        "labels": [{"h": 0, "t": 1, "r": "born in", "evidence": [0]}],
    }
    return {**raw, **changes}


BAD_SPAN = [[{"name": "Ada", "sent_id": 0, "pos": [0, 9]}], [{"name": "London", "sent_id": 0, "pos": [2, 3]}]]


def save(path, content):
    """Writes text as it is, and anything else as JSON; gzipped where the name says so."""
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def error_of(path, **options) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        read_documents(path, **options)
    message = str(caught.value)
    assert "\n" not in message and "Traceback" not in message and str(path) in message
    return caught.value


@st.composite
def documents(draw):
    words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=6)
    sentences = draw(st.lists(st.lists(words, min_size=1, max_size=4), min_size=1, max_size=3))
    entities = []
    for _ in range(draw(st.integers(0, 3))):
        mentions = []
        for _ in range(draw(st.integers(1, 2))):
            sent_id = draw(st.integers(0, len(sentences) - 1))
            start = draw(st.integers(0, len(sentences[sent_id]) - 1))
            end = draw(st.integers(start + 1, len(sentences[sent_id])))
            kind, kb_id = draw(st.sampled_from(["", "PER", "Ü"])), draw(st.sampled_from(["", "Q42"]))
            mentions.append(Mention(draw(words), sent_id, start, end, kind, kb_id))
        entities.append(mentions)
    all_pairs = [(head, tail) for head in range(len(entities)) for tail in range(len(entities)) if head != tail]
    pairs = draw(st.none() | st.just(all_pairs))
    labelled = draw(st.booleans())
    relations = words.map(lambda name: f"{name.strip()}1")  # white space around a label is no part of it
    facts = [Fact(*pair, draw(relations), draw(st.sampled_from([[], [0]]))) for pair in all_pairs[:2]]
    facts = [fact for fact in facts if fact.relation != "NA"]
    return Document(draw(words), sentences, entities, facts if labelled else [], labelled, pairs)


@pytest.mark.parametrize("extension", EXTENSIONS)
@settings(deadline=None, max_examples=30)
@given(corpus=st.lists(documents(), min_size=1, max_size=3, unique_by=lambda document: document.title))
def test_everything_written_reads_back_equal(extension, corpus):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made" / f"corpus{extension}"
        write_documents(iter(corpus), path)
        assert read_documents(path) == corpus
        assert [child.name for child in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_writing_is_all_or_nothing_and_repeatable(tmp_path, ada, extension):
    path = tmp_path / f"corpus{extension}"
    write_documents([ada], path)
    before = path.read_bytes()

    def fails():
        yield ada
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_documents(fails(), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]
    write_documents([ada], path)
    assert path.read_bytes() == before


def test_writing_needs_a_known_extension(tmp_path, ada):
    with pytest.raises(DocumentError, match=r"corpus.csv: the name must end in one of \.json, .*\.parquet\."):
        write_documents([ada], tmp_path / "corpus.csv")


def test_parquet_in_many_row_groups(tmp_path, ada):
    corpus = [Document(f"{i}", ada.sentences, ada.entities, ada.relations) for i in range(600)]
    write_documents(corpus, tmp_path / "corpus.parquet")
    assert read_documents(tmp_path / "corpus.parquet") == corpus


def test_parquet_with_labels_as_a_struct_of_lists(tmp_path, ada):
    raw = ada.to_dict()
    columns = {"head": "h", "tail": "t", "relation_id": "r", "evidence": "evidence"}
    raw["labels"] = {name: [label[key] for label in raw["labels"]] for name, key in columns.items()}
    raw["labels"]["relation_text"] = raw["labels"]["relation_id"]
    pq.write_table(pa.Table.from_pylist([raw]), tmp_path / "docred.parquet")
    assert read_documents(tmp_path / "docred.parquet") == [ada]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.json.gz", "a.jsonl.gz", "a.txt", "a"])
@pytest.mark.parametrize("layout", ["list", "indented", "lines", "windows lines", "bom"])
def test_content_decides_the_layout_not_the_name(tmp_path, name, layout):
    raw = [raw_document("A"), raw_document("B")]
    text = {
        "list": json.dumps(raw),
        "indented": json.dumps(raw, indent=2),
        "lines": "\n".join(map(json.dumps, raw)),
        "windows lines": "".join(json.dumps(document) + "\r\n\r\n" for document in raw),
        "bom": "\ufeff" + json.dumps(raw),
    }[layout]
    assert [document.title for document in read_documents(save(tmp_path / name, text))] == ["A", "B"]


def test_gzip_is_known_by_its_content(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(gzip.compress(json.dumps([raw_document()]).encode()))
    assert len(read_documents(path)) == 1


@pytest.mark.parametrize(
    "name, content, format",
    [
        ("train.txt", SEMEVAL, "semeval"),
        ("train.TXT.gz", SEMEVAL, "semeval"),
        ("train.data", SEMEVAL, "semeval"),
        ("train.json", [tacred(id="1"), tacred(id="2")], "tacred"),
        ("train.json", "".join(json.dumps(tacred(id=i)) + "\n" for i in "ab"), "tacred"),
        ("train.json", {"P1": [fewrel()], "P2": [fewrel()]}, "fewrel"),
        ("train.json", json.dumps({"P1": [fewrel(), fewrel()], "P2": []}, indent=1), "fewrel"),
        ("train.txt", "".join(json.dumps(opennre()) + "\n" for _ in range(2)), "opennre"),
        ("train.json", [opennre(), opennre()], "opennre"),
        ("train.json", [raw_document("a"), raw_document("b")], "docred"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_formats_are_found_out(tmp_path, name, content, format, named):
    path = save(tmp_path / name, content)
    found = read_documents(path, format=format if named else None)
    assert len(found) == 2 and all(document.is_sentence == (format != "docred") for document in found)


def test_equal_sentences_have_titles_of_their_own_in_any_order(tmp_path):
    records = [opennre(relation=relation) for relation in ("wrong", "right", "right", "")]
    del records[-1]["relation"]
    titles = []
    for name, order in (("a", records), ("b", records[::-1])):
        path = save(tmp_path / f"{name}.jsonl", order)
        documents = read_documents(path)
        titles.append({document.title: document.label for document in documents})
        again = tmp_path / f"{name}.json"
        write_documents(documents, again)
        assert read_documents(again) == documents
    assert titles[0] == titles[1] and sorted(titles[0].values()) == ["NA", "right", "right", "wrong"]
    bare = next(title for title, label in titles[0].items() if label == "NA")
    assert all(title.startswith(bare) for title in titles[0])
    assert sum(title.endswith("-2") for title in titles[0]) == 1  # alike in all


def test_documents_without_entities_are_kept(tmp_path):
    path = save(tmp_path / "a.json", [raw_document(vertexSet=[], labels=[])])
    assert read_documents(path)[0].entities == []


def test_iteration_goes_on_after_a_bad_document(tmp_path):
    path = save(tmp_path / "a.json", [raw_document("A"), raw_document("B", vertexSet=BAD_SPAN), 7, raw_document("C")])
    first, bad_span, no_object, last = iter_documents(path)
    assert (first.title, last.title) == ("A", "C")
    assert str(bad_span).startswith(f'{path}, document 1 ("B"), vertexSet[0][0].pos: the span [0, 9) leaves')
    assert str(no_object).startswith(f"{path}, document 2: expected an object")


@pytest.mark.parametrize(
    "name, content, format, expected",
    [
        ("a.json", [raw_document(), raw_document("B", labels=[{"h": 0, "t": 5, "r": "x"}])], "docred", "labels[0].t"),
        ("a.json", [raw_document(), raw_document("B", labels=[{"h": 1, "t": 1, "r": "x"}])], "docred", "labels[0]"),
        ("a.json", [raw_document(), {"title": "B", "sents": []}], "docred", '"vertexSet" is missing'),
        ("a.json", [raw_document(), raw_document("B", sents=None)], "docred", "sents: "),
        ("a.json", [tacred(), tacred(id="B", obj_end=99)], "tacred", "obj_end: the span"),
        ("a.json", [tacred(), {"id": "B", "token": []}], "tacred", '"subj_start" is missing'),
        ("a.json", [opennre(), opennre(id="B", h={"name": "x", "pos": [0, 5]})], "opennre", "h.pos: [0, 5) counts"),
    ],
)
def test_a_single_problem_is_told_in_full(tmp_path, name, content, format, expected):
    path = save(tmp_path / name, content)
    message = str(error_of(path))
    assert f'{path}, document 1 ("B")' in message and expected in message
    assert str(error_of(path, format=format)) == message


def test_problems_of_sentences_without_title_name_their_index(tmp_path):
    path = save(tmp_path / "fewrel.json", {"P1": [fewrel(), 5], "P2": [fewrel(h=["x", "Q", [[99]]])]})
    _, first, second = iter_documents(path)
    assert str(first).startswith(f"{path}, document 1: expected an object")
    assert str(second).startswith(f"{path}, document 2, h[2][0]: the span [99, 100) leaves")


def test_semeval_problems_name_index_and_id(tmp_path):
    path = save(tmp_path / "train.txt", SEMEVAL + '7\t"<e1>a</e1> b"\nOther\n')
    assert str(error_of(path)).startswith(f'{path}, document 2 ("7"), sentence: the tag <e2> is missing')


def test_titles_are_unique(tmp_path):
    path = save(tmp_path / "a.json", [raw_document("A"), raw_document("B"), raw_document("A")])
    message = str(error_of(path))
    assert message.startswith(f'{path}, document 2 ("A"), title: titles must be unique, and document 0 of {path}')


def test_an_invalid_document_does_not_claim_its_title(tmp_path):
    path = save(tmp_path / "a.json", [raw_document("A", sents=None), raw_document("A")])
    assert len(read_documents(path, skip_invalid=True)) == 1


def test_a_bad_line_does_not_stop_the_rest(tmp_path):
    lines = [json.dumps(raw_document("A")), '{"title": "B", "sents', json.dumps(raw_document("C"))]
    path = save(tmp_path / "a.jsonl", "\n\n".join(lines))
    first, bad, last = iter_documents(path)
    assert (first.title, last.title) == ("A", "C")
    assert str(bad).startswith(f"{path}, document 1: line 3 is not JSON (Unterminated string")
    assert str(bad).endswith("write one object a line.")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_bad_first_line_does_not_stop_the_rest(tmp_path, name):
    path = save(tmp_path / name, '{"title": "B", "sents\n' + json.dumps(raw_document("C")))
    bad, last = iter_documents(path)
    assert "line 1 is not JSON" in str(bad) and last.title == "C"


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("a.json", "", "the file is empty"),
        ("a.json", "  \n ", "the file is empty"),
        ("a.jsonl.gz", "", "the file is empty"),
        ("a.txt", "", "the file is empty"),
        ("a.json", "[]", "there are no documents"),
        ("a.json", "<html>not found</html>", "web page"),
        ("a.json", "version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        ("a.json", '"a string"', "not JSON"),
        ("a.json", json.dumps(raw_document(), indent=2), "one object a line"),
        ("a.json", json.dumps([raw_document()])[:-1], "ends in the middle"),
        ("a.json", json.dumps([raw_document()]) + "[]", "text follows the end"),
        ("a.json", "[{'title': 'A'}]", "not JSON here"),
        ("a.parquet", "[]", "cannot be read as parquet"),
        ("a.json", "PAR1 but no more", "cannot be read as parquet"),
    ],
)
def test_problems_of_the_whole_file_are_raised(tmp_path, name, content, words):
    path = save(tmp_path / name, content)
    with pytest.raises(DocumentError) as caught:
        list(iter_documents(path))
    assert words in str(caught.value) and str(path) in str(caught.value)
    error_of(path, skip_invalid=True)


def test_wrong_format_is_told(tmp_path):
    path = save(tmp_path / "a.json", [raw_document()])
    assert "choose one of docred, " in str(error_of(path, format="conll"))
    fewrel_path = save(tmp_path / "b.json", {"P1": "no list"})
    assert "relation `P1` is no list of instances" in str(error_of(fewrel_path, format="fewrel"))


def test_a_file_that_is_cut_off_yields_what_came_before(tmp_path):
    text = json.dumps([raw_document("A"), raw_document("B"), raw_document("C")])
    path = save(tmp_path / "a.json", text[: text.index('"C"')])
    items = iter_documents(path)
    assert [next(items).title, next(items).title] == ["A", "B"]
    with pytest.raises(DocumentError, match="document 2: the file ends in the middle"):
        next(items)


@pytest.mark.parametrize("layout", ["list", "lines"])
def test_a_truncated_gzip_file_yields_what_came_before(tmp_path, layout):
    raw = [raw_document(os.urandom(8).hex()) for _ in range(5000)]
    path = save(tmp_path / "a.gz", json.dumps(raw) if layout == "list" else "\n".join(map(json.dumps, raw)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    titles = []
    with pytest.raises(DocumentError, match=r"a\.gz, document \d+: the gzip file is cut off here"):
        for document in iter_documents(path):
            titles.append(document.title)
    assert len(titles) > 1000 and titles == [document["title"] for document in raw[: len(titles)]]


def test_damaged_gzip_data_are_told(tmp_path):
    path = tmp_path / "a.json.gz"
    path.write_bytes(b"\x1f\x8b" + b"nonsense" * 10)
    assert "gzip data are damaged" in str(error_of(path))


def test_text_that_is_not_utf8_is_told(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(json.dumps([raw_document("é")], ensure_ascii=False).encode("latin-1"))
    assert "is not UTF-8; save the file with UTF-8" in str(error_of(path))


def test_missing_files_and_folders_are_told(tmp_path):
    assert "there is no such file" in str(error_of(tmp_path / "missing.json"))
    assert "no such file" in str(error_of("data/train.json"))  # not taken for a dataset on the Hub
    (tmp_path / "notes.md").write_text("")
    assert "this folder holds no documents; name a file or another folder. It holds: notes.md." in str(
        error_of(tmp_path)
    )
    assert "no file has a name like this" in str(error_of(tmp_path / "train-*.json"))
    save(tmp_path / "train.json", [])
    save(tmp_path / "test.json", [])
    assert "this folder holds different files (test.json, train.json), not only shards" in str(error_of(tmp_path))


def test_half_characters_are_told_before_a_tokenizer_meets_them(tmp_path):
    path = save(tmp_path / "a.json", '[{"title": "A", "sents": [["\\ud83d"]], "vertexSet": []}]')
    assert str(error_of(path)).endswith("sents[0]: the text holds \\ud83d, half of a character; remove or restore it.")


def thousands(count=4000):
    def bad(i):
        changes = [
            {"vertexSet": BAD_SPAN},
            {"labels": [{"h": 0, "t": i + 2, "r": "x"}]},
            {"sents": "text"},
            {"labels": [{"h": 1, "t": 1, "r": "x"}]},
            {"vertexSet": 3},
            {"labels": 3},
            {"pairs": 3},
        ]
        return changes[i % len(changes)]

    return [raw_document("A")] + [raw_document(f"bad {i} " + "x" * 300, **bad(i)) for i in range(count)]


def test_thousands_of_problems_fit_a_short_message(tmp_path):
    path = save(tmp_path / "a.json", thousands())
    message = str(error_of(path))
    assert len(message) < 1500
    assert message.startswith(f"{path}: 4000 of 4001 documents are invalid. The first: {path}, document 1 (")
    assert "572 x vertexSet[][].pos: the span [#, #) leaves sentence #" in message
    assert "and 2 other kinds" in message
    assert "`--skip_invalid` goes on without them" in message and f"`finecl-hf validate {path}` lists them." in message


@pytest.mark.parametrize("indent", [None, 1])
def test_an_object_around_the_documents_is_told(indent, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"data": [raw_document("A"), raw_document("B")]}, indent=indent))
    with pytest.raises(DocumentError, match="one object .*data.*list of documents"):
        read_documents(tmp_path / "a.json")


def test_patterns_pass_over_what_is_hidden(tmp_path):
    for name in ("a-0.json", "b/a-1.json", "._a-2.json", ".hidden/a-3.json", "b/.ipynb_checkpoints/a-4.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        save(tmp_path / name, [raw_document(name)])

    def titles(pattern):
        return [document.title for document in read_documents(str(tmp_path / pattern))]

    assert titles("*.json") == titles("a-**.json") == ["a-0.json"]
    assert titles("**/*.json") == titles("**") == ["a-0.json", "b/a-1.json"]
    assert titles(".hidden/*") == [".hidden/a-3.json"]


def test_a_long_first_record_tells_its_format(tmp_path):
    long = fewrel(tokens=[f"word{i}" for i in range(5000)])
    for indent in (None, 4):
        (tmp_path / "a.json").write_text(json.dumps({"P1": [long], "P2": [fewrel()]}, indent=indent))
        assert [document.label for document in read_documents(tmp_path / "a.json")] == ["P1", "P2"]


def test_skip_invalid_counts_in_one_warning(tmp_path, caplog):
    path = save(tmp_path / "a.json", thousands(10))
    with caplog.at_level(logging.WARNING):
        assert [document.title for document in read_documents(path, skip_invalid=True)] == ["A"]
    assert len(caplog.messages) == 1 and "10 of 11" in caplog.messages[0]


def test_nothing_valid_left_raises(tmp_path):
    path = save(tmp_path / "a.json", thousands(10)[1:])
    message = str(error_of(path, skip_invalid=True))
    assert "10 of 10 documents are invalid" in message and "skip_invalid" not in message


def test_max_documents_counts_valid_ones_and_stops(tmp_path):
    raw = [raw_document("A"), raw_document("B", sents=None), raw_document("C"), raw_document("D")]
    path = save(tmp_path / "a.json", json.dumps(raw)[:-1])  # cut off, after what is asked for
    assert [document.title for document in read_documents(path, max_documents=1)] == ["A"]
    assert [document.title for document in read_documents(path, max_documents=2, skip_invalid=True)] == ["A", "C"]
    assert 'document 1 ("B")' in str(error_of(path, max_documents=2))
    assert "at least 1" in str(error_of(path, max_documents=0))


@pytest.mark.slow
def test_memory_stays_flat_on_a_large_array(tmp_path):
    words = " ".join(["word"] * 40_000).split()
    path = tmp_path / "large.json"
    with open(path, "w") as file:
        for i in range(96):
            file.write(("[" if i == 0 else ",") + json.dumps(raw_document(f"{i}", sents=[words])).replace(" ", "  "))
        file.write("]")
    assert path.stat().st_size > 30e6
    tracemalloc.start()
    assert sum(1 for item in iter_documents(path, format="docred") if isinstance(item, DocumentError)) == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6


@pytest.mark.real
@pytest.mark.parametrize(
    "name, count, facts",
    [
        ("redocred/dev_revised.json", 500, 17_284),
        ("redocred/test_revised_first250.json", 250, 8_728),
        ("docred/test_unlabelled.json", 1_000, 0),
        ("semeval2010/TRAIN_FILE.TXT", 8_000, 6_590),
        ("semeval2010/TEST_FILE_FULL.TXT", 2_717, 2_263),
        ("fewrel/val_wiki.json", 16 * 700, 16 * 700),
    ],
)
def test_real_corpora_read(name, count, facts):
    folder = os.environ.get("FINECL_REAL_DATA")
    if not folder:
        pytest.skip("set FINECL_REAL_DATA to the folder of the real corpora")
    corpus = read_documents(Path(folder) / name)
    assert len(corpus) == count and sum(len(document.relations) for document in corpus) == facts


# Shards -------------------------------------------------------------------------------------------


@pytest.fixture
def shards(tmp_path, ada, curie):
    """A folder of two shards, beside other files; the third document is invalid."""
    folder = tmp_path / "shards"
    write_documents([ada, curie], folder / "silver-00001.jsonl.gz")
    (folder / "silver-00002.jsonl.gz").write_bytes(gzip.compress(b'{"title": "c"}\n'))
    (folder / "README.md").write_text("not a shard")
    (folder / ".hidden.json").write_text("nor this")
    return folder


def test_shards_are_read_in_the_order_of_their_names(shards, ada, curie):
    for source in (shards, shards / "silver-*.jsonl.gz", f"{shards.parent}/**/silver*"):
        first, second, broken = iter_documents(source)
        assert [first, second] == [ada, curie]
        assert broken.source.endswith("silver-00002.jsonl.gz") and broken.index == 0
    assert len(local_files(shards)) == 2 and local_files("user/name") == []


def test_a_title_in_two_shards_names_the_first_place(tmp_path, ada, curie):
    write_documents([ada], tmp_path / "s-1.json")
    write_documents([curie, ada], tmp_path / "s-2.json")
    write_documents([curie], tmp_path / "s-3.json")
    one, two, *errors = iter_documents(tmp_path / "s-*.json")
    assert [one, two] == [ada, curie]
    assert [(Path(e.source).name, e.index, e.title) for e in errors] == [
        ("s-2.json", 1, "Ada"),
        ("s-3.json", 0, "Curie"),
    ]
    assert f"document 0 of {tmp_path / 's-1.json'} has this one" in errors[0].message
    assert f"document 0 of {tmp_path / 's-2.json'} has this one" in errors[1].message
    assert list(iter_documents(tmp_path / "s-*.json", check_titles=False)) == [ada, curie, ada, curie]
