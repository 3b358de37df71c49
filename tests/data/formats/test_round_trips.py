"""What a format holds comes back from its files as it was."""

from dataclasses import replace
from importlib.util import find_spec

import pytest

from finecl_hf.data.formats import formats, parts
from finecl_hf.data.readers import read_documents, write_documents
from finecl_hf.errors import DocumentError
from tests.helpers.random_documents import only, random_document


NEEDS = {"docbin": pytest.mark.skipif(find_spec("spacy") is None, reason="spaCy is not installed")}
WRITTEN = [
    pytest.param(name, marks=NEEDS.get(name, ())) for name, format in formats().items() if format.write is not None
]


def held_by(format, count):
    """Documents and sentences of all sorts, as far as the format can hold them."""
    made = (only(random_document(seed, sentence=seed % 2 == 0), format.holds) for seed in range(count))
    return [document for document in made if document is not None and not format.refuses(document)]


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("count", [40, pytest.param(2000, marks=pytest.mark.slow)])
def test_documents_come_back(name, count, tmp_path):
    format = formats()[name]
    documents = held_by(format, count)
    assert len(documents) > count / 10 and set.union(*map(parts, documents)) <= format.holds
    path = tmp_path / f"a{(format.suffixes or ('.json',))[0]}"
    write_documents(documents, path, format=name)
    again = read_documents(path, format=name)
    assert again == read_documents(path)
    if not all(map(format.keeps_title, documents)):
        assert len({document.title for document in again}) == len(again)
        again, documents = untitled(again), untitled(documents)
    assert again == documents


def untitled(documents):
    """In one order, as titles say nothing of it."""
    return sorted((replace(document, title="") for document in documents), key=repr)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_format_cannot_hold_is_said(name, tmp_path, caplog):
    format = formats()[name]
    made = [random_document(seed, sentence=seed >= 40) for seed in [*range(1, 40, 2), *range(40, 60)]]
    documents = [document for document in made if not format.refuses(document)]
    write_documents(documents, tmp_path / "a", format=name)
    lost = set.union(*map(parts, documents)) - format.holds
    lost |= set() if all(map(format.keeps_title, documents)) else {"titles"}
    assert all(name in caplog.text for name in lost)


def test_a_document_that_does_not_fit_is_refused(tmp_path):
    document = random_document(1)
    document.title = "a|b"
    with pytest.raises(DocumentError, match="another title"):
        write_documents([document], tmp_path / "a", format="pubtator")
    assert not (tmp_path / "a").exists()
    with pytest.raises(DocumentError, match="is not written; choose docred, "):
        write_documents([document], tmp_path / "a", format="conll")
