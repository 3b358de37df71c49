"""The columns of Roth and Yih's corpus."""

import pytest

from finecl_hf.data.documents import Document
from finecl_hf.data.readers import iter_documents, read_documents, write_documents
from finecl_hf.errors import DocumentError


def row(sentence, kind, number, tags, words):
    return "\t".join([str(sentence), kind, str(number), "O", tags, words, "O", "O", "O"])


FILE = "\n".join(
    [
        row(95, "Other", 0, "CD/,/CD/NNS", "150/COMMA/000/acres"), row(95, "O", 1, ",", "COMMA"),
        row(95, "O", 2, "CD", "1/2"), row(95, "Peop", 3, "NNP/NNP", "Ada/Byron"), row(95, "O", 4, "NN", "head"),
        row(95, "Org", 5, "NNP", "A/B"), "", "3\t5\tWork_For", "3\t5\tWork_For", "",
        row(96, "Loc", 0, "NNP", "Graz"), row(96, "O", 1, ".", "."), "", "",
        row(97, "O", 0, "NN", "Rain"), row(97, "O", 1, ".", "."), "", "",
    ]
)  # fmt: skip


def write(folder, text=FILE, name="a.corp", newline="\n"):
    path = folder / name
    path.write_text(text, newline=newline)
    return path


@pytest.mark.parametrize("name", ["a.corp", "a.txt", "a"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_corpus_is_read(name, newline, tmp_path):
    first, second, third = read_documents(write(tmp_path, name=name, newline=newline))
    assert first.title == "95" and first.sentences == ["150 , 000 acres , 1/2 Ada Byron head A/B".split()]
    assert [(entity[0].name, entity[0].type) for entity in first.entities] == [
        ("150 , 000 acres", "Other"), ("Ada Byron", "Peop"), ("A/B", "Org"),
    ]  # fmt: skip
    assert [(fact.head, fact.tail, fact.relation) for fact in first.relations] == [(1, 2, "Work_For")]
    assert len(second.entities) == 1 and second.labelled and not second.relations
    assert third.title == "97" and not third.entities


def test_columns_may_stand_apart_by_spaces(tmp_path):
    assert read_documents(write(tmp_path, FILE.replace("\t", "   "))) == read_documents(write(tmp_path, name="b.corp"))


@pytest.mark.parametrize(
    "line, told",
    [
        ("0\t9\tKill", 'line 3: the relation Kill is about "9"'),
        ("0\t0", "line 3.*neither a word"),
        ("0\t1\tNA", 'line 3: "NA" is no relation'),
        (row(1, "Peop", 1, "N/N", "a/"), "line 3: a word is empty"),
        ("\n".join([row(1, "Peop", 1, "N", "a"), row(1, "Peop", 1, "N", "a")]), "line 4: line 1 of the sentence"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(line, told, tmp_path):
    text = "\n".join([row(0, "Peop", 0, "N", "a"), "", line, ""])
    (error,) = (item for item in iter_documents(write(tmp_path, text)) if isinstance(item, DocumentError))
    with pytest.raises(DocumentError, match=told):
        raise error


def made(words, *spans, title="t"):
    entities = [[{"sent_id": 0, "pos": list(span), "type": "A"}] for span in spans]
    labels = [{"h": 0, "t": 1, "r": "P1"}] if len(spans) > 1 else []
    return Document.from_dict({"title": title, "sents": [words], "vertexSet": entities, "labels": labels})


def test_slashes_and_commas_come_back(tmp_path):
    document = made(["and/or", ",", "/", "x", "a/b"], (0, 3), (3, 4))
    write_documents([document], tmp_path / "b.corp", format="conll04")
    assert read_documents(tmp_path / "b.corp") == [document]
    assert "and\\/or/COMMA/\\//" not in (tmp_path / "b.corp").read_text()
    assert "and\\/or/COMMA/\\/" in (tmp_path / "b.corp").read_text()


@pytest.mark.parametrize(
    "document, told",
    [
        (made([]), "no sentence without words"),
        (made(["a"], title="a\tb"), "tab or line break"),
        (made(["COMMA"]), "is `COMMA`"),
        (made(["a\\", "b"]), "is `COMMA`"),
        (made(["a", "b", "c"], (0, 2), (1, 3)), "overlap"),
    ],
)
def test_what_has_no_place_is_refused(document, told, tmp_path):
    with pytest.raises(DocumentError, match=told):
        write_documents([document], tmp_path / "b.corp", format="conll04")
