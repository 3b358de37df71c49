"""spaCy's documents, as its pipelines and its tutorial on relations make them."""

import builtins
import gc
import zlib

import pytest

from finecl_hf.data.documents import Document
from finecl_hf.data.formats.docbin import document_of_spacy, spacy_of_document
from finecl_hf.data.readers import iter_documents, read_documents, write_documents
from finecl_hf.errors import DocumentError
from tests.helpers.random_documents import random_document


spacy = pytest.importorskip("spacy")
from spacy.tokens import Doc, DocBin, Span  # noqa: E402


KEY = ("._.", "rel", None, None)  # where spaCy keeps `doc._.rel`


def docbin_of(documents):
    vocab = spacy.vocab.Vocab()
    docs = [spacy_of_document(document, vocab) for document in documents]
    return DocBin(store_user_data=True, docs=docs).to_bytes()


@pytest.fixture
def doc():
    """Ada Byron | left | Graz | . | (line break) | She | met | Bo | ."""
    words = ["Ada", "Byron", "left", "Graz", ".", "\n\n", "She", "met", "Bo", "."]
    spaces = [True, True, True, False, False, False, True, True, False, False]
    doc = Doc(spacy.vocab.Vocab(), words=words, spaces=spaces)
    doc.ents = [
        Span(doc, 0, 2, "PER", kb_id="Q1"), Span(doc, 3, 4, "LOC", kb_id="NIL"),
        Span(doc, 6, 7, "PER", span_id="Q1"), Span(doc, 8, 9, "PER"),
    ]  # fmt: skip
    return doc


def test_tokens_are_words_and_identifiers_make_entities(doc):
    document = document_of_spacy(doc, "t")
    assert document.title == "t" and document.text == "Ada Byron left Graz.\n\nShe met Bo."
    assert document.sentences == ["Ada Byron left Graz .".split(), "She met Bo .".split()]
    entities = [[(mention.name, mention.type, mention.kb_id) for mention in entity] for entity in document.entities]
    assert entities == [[("Ada Byron", "PER", "Q1"), ("She", "PER", "Q1")], [("Graz", "LOC", "")], [("Bo", "PER", "")]]
    assert not document.labelled


@pytest.mark.parametrize(
    "name, value, facts",
    [
        ("rel", {(0, 3): {"left": 1.0, "met": 0.2}, (6, 8): {"met": 0.75}, (0, 0): {"met": 1.0}, (3, 0): {}},
         [(0, "left", 1, None), (0, "met", 2, 0.75)]),
        ("rel", {}, []),
        ("relations", [{"head": 0, "tail": [3, 4], "label": "left"}, (6, "met", 8)],
         [(0, "left", 1, None), (0, "met", 2, None)]),
    ],
)  # fmt: skip
def test_relations_by_their_conventions(name, value, facts, doc):
    doc.user_data["._.", name, None, None] = value
    document = document_of_spacy(doc)
    assert document.labelled
    assert [(fact.head, fact.relation, fact.tail, fact.score) for fact in document.relations] == facts


def test_relations_of_spans_and_declared_extensions(doc):
    Doc.set_extension("relations", default=None)
    try:
        assert not document_of_spacy(doc).labelled
        doc._.relations = [{"relation": "met", "head_span": doc.ents[0], "tail_span": doc.ents[3]}]
        assert [(fact.head, fact.relation, fact.tail) for fact in document_of_spacy(doc).relations] == [(0, "met", 2)]
    finally:
        Doc.remove_extension("relations")


@pytest.mark.parametrize(
    "value, told",
    [
        ({(0, 5): {"met": 1}}, r'rel\[\(0, 5\)\]: the relation met is about "5"'),
        ({(0, 3): {"met": "x"}}, r"rel\[\(0, 3\)\]: expected a score"),
        ({(0, 3): {"NA": 1}}, '"NA" is no relation'),
        ([1], r"relations\[0\]: expected a relation"),
        ([{"head": "a", "tail": 1, "label": "x"}], r"relations\[0\]: expected a span"),
        (5, "rel: expected a dict or list"),
    ],
)
def test_what_is_wrong_with_relations_is_said(value, told, doc):
    doc.user_data[KEY] = value
    with pytest.raises(DocumentError, match=told):
        document_of_spacy(doc)


def test_sentences_where_they_are_set(doc):
    for number, token in enumerate(doc):
        token.is_sent_start = number in (0, 5, 1)  # one begins inside a mention, one with white space
    assert [len(words) for words in document_of_spacy(doc).sentences] == [5, 4]
    doc.spans["sc"], doc.ents = list(doc.ents), []
    assert len(document_of_spacy(doc).entities) == 3


def test_what_the_tutorial_reads_is_written(ada):
    doc = spacy_of_document(ada, spacy.vocab.Vocab())
    assert doc.user_data[KEY] == {(0, 5): {"born in": 1.0}, (5, 10): {"located in": 1.0, "capital of": 1.0}}
    assert [ent.text for ent in doc.ents][:2] == ["Ada Lovelace", "London"] and len(list(doc.sents)) == 2
    assert document_of_spacy(doc) == ada
    doc.user_data[KEY] = {(10, 5): {"has capital": 0.9}}  # a pipeline ran over it
    assert [(fact.head, fact.tail, fact.score) for fact in document_of_spacy(doc).relations] == [(2, 1, 0.9)]
    doc.ents = doc.ents[1:]
    assert len(document_of_spacy(doc).entities) == 4 and document_of_spacy(doc).title == "Ada"


def test_all_of_a_document_comes_back(tmp_path, ada, curie):
    curie.relations, curie.labelled = [], False
    ada.entities.append([ada.entities[0][0]])
    odd = random_document(3)
    odd.pairs, odd.relations = [(0, 1)] if len(odd.entities) > 1 else [], []
    text = "  Ada \n ran . \t"
    spaced = Document.from_dict({"title": "s", "sents": [["Ada"], ["ran", "."]], "vertexSet": [], "text": text})
    raw = {"title": "b", "sents": [["Ada", "\xa0", "'s", " "], ["\n"]]}
    raw["vertexSet"] = [[{"name": "Ada's", "sent_id": 0, "pos": [0, 3]}, {"sent_id": 1, "pos": [0, 1]}]]
    documents = [ada, curie, odd, spaced, Document.from_dict(raw)]
    write_documents(documents, tmp_path / "a.spacy", format="docbin")
    assert read_documents(tmp_path / "a.spacy") == documents and spaced.text == text


@pytest.mark.parametrize("sentences", [[["a", ""]], [["a"], []]])
def test_what_spacy_has_not_is_refused(sentences, tmp_path):
    document = Document("t", sentences, [])
    with pytest.raises(DocumentError, match="a word or a sentence is empty"):
        write_documents([document], tmp_path / "a.spacy", format="docbin")


def test_files_of_others(tmp_path, doc):
    doc.user_data["title"] = "named"
    other = doc.copy()
    other.user_data = {}
    DocBin(store_user_data=True, docs=[doc, other]).to_disk(tmp_path / "b.spacy")
    assert [document.title for document in read_documents(tmp_path / "b.spacy")] == ["named", "b-1"]


def test_what_is_no_docbin_is_told(tmp_path, monkeypatch):
    path = tmp_path / "a.spacy"
    for data, told in ((b"text", "no DocBin of spaCy"), (zlib.compress(b"\xc1"), "spaCy cannot read the file")):
        path.write_bytes(data)
        with pytest.raises(DocumentError, match=told):
            list(iter_documents(path))
        assert gc.isenabled()
    path.write_bytes(zlib.compress(bytes(100)))
    with monkeypatch.context() as patch, pytest.raises(DocumentError, match="200 times"):
        patch.setattr("finecl_hf.data.formats.docbin.most_bytes", lambda size: 99)
        list(iter_documents(path))
    real = builtins.__import__

    def without_spacy(name, *arguments):
        if name.partition(".")[0] == "spacy":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_spacy)
    with pytest.raises(DocumentError, match=r'pip install "finecl_hf\[spacy\]"'):
        list(iter_documents(path))
    with pytest.raises(DocumentError, match=r'pip install "finecl_hf\[spacy\]"'):
        write_documents([], path, format="docbin")
