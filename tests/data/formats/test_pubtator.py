"""PubTator files as BioRED and CDR have them."""

import gzip
import re

import pytest

from finecl_hf.data.readers import iter_documents, read_documents, write_documents
from finecl_hf.data.spans import span_of, text_of
from finecl_hf.errors import DocumentError


FILE = (
    "\n17|t|Aspirin helps Ada.\n"
    "17|a|It also relieves head and back pain. ADA agrees.\n"
    "17\t0\t7\tAspirin\tChemical\tD001\n"
    "17\t14\t17\tAda\tGene\tc|DEL|12_13|\n"
    "17\t19\t21\tIt\tChemical\t-1\n"
    "17\t36\t54\thead and back pain\tDisease\tD006|D001416\thead pain|back pain\n"
    "17\t56\t59\tADA\tGene\tc|DEL|12_13|\n"
    "17\tCID\tD001\tD006\n"
    "17\tBind\tD001\tD001\tNo\n"
    "17\tAssociation\tc|DEL|12_13|\tD001416\tNovel\n"
    "\n\n18|t|No abstract\n18|a|\n18\t0\t2\tNo\tGene\t1,2\n"
)


def write(path, text=FILE, newline="\n"):
    path.write_text(text, newline=newline)
    return path


@pytest.mark.parametrize("name", ["a.PubTator", "a.txt", "a", "a.PubTator.txt"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_files_of_the_corpora(name, newline, tmp_path, caplog):
    first, second = read_documents(write(tmp_path / name, newline=newline))
    assert first.title == "17" and first.sentences[0] == ["Aspirin", "helps", "Ada", "."]
    assert first.text.startswith("Aspirin helps Ada. It also")
    ids = [entity[0].kb_id for entity in first.entities]
    assert ids == ["D001", "c|DEL|12_13|", "", "D006", "D001416"]  # a mention of two entities belongs to both
    assert [mention.name for mention in first.entities[1]] == ["Ada", "ADA"]
    assert first.entities[3][0].name == first.entities[4][0].name == "head and back pain"
    facts = [(ids[fact.head], fact.relation, ids[fact.tail]) for fact in first.relations]
    assert facts == [("D001", "CID", "D006"), ("c|DEL|12_13|", "Association", "D001416")]
    assert '1 relations of an entity with itself ("Bind" 1)' in caplog.text
    assert second.text == "No abstract" and [entity[0].kb_id for entity in second.entities] == ["1", "2"]


@pytest.mark.parametrize(
    "line, told",
    [
        ("17\t0\t6\tAspirin\tChemical\tD001", 'line 20.*reads "Aspiri", but the mention is "Aspirin"'),
        ("17\tCID\tD001\tD9", 'line 20.*"D9", which no mention has'),
        ("17\tCID\tD001", "line 20.*neither"),
        ("19\tCID\tD001\tD9", "line 20.*no document"),
        ("nonsense", "line 20.*no document"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(line, told, tmp_path):
    text = "17|t|Aspirin\n17|a|\n17\t0\t7\tAspirin\tChemical\tD001\n" + "\n" * 16 + line + "\n"
    (error,) = (item for item in iter_documents(write(tmp_path / "a.txt", text)) if isinstance(item, DocumentError))
    assert re.search(told, str(error))


def test_what_is_read_is_written_as_it_was(tmp_path):
    documents = read_documents(write(tmp_path / "a.txt"))
    write_documents(documents, tmp_path / "b.txt", format="pubtator")
    assert read_documents(tmp_path / "b.txt") == documents
    write_documents(read_documents(tmp_path / "b.txt"), tmp_path / "c.txt", format="pubtator")
    assert (tmp_path / "b.txt").read_bytes() == (tmp_path / "c.txt").read_bytes()


def test_entities_without_an_identifier_get_one_where_it_is_needed(tmp_path, ada):
    write_documents([ada], tmp_path / "a.txt", format="pubtator")
    (again,) = read_documents(tmp_path / "a.txt")
    assert len(again.entities) == len(ada.entities)
    names = [[[mention.name for mention in entity] for entity in document.entities] for document in (again, ada)]
    assert sorted(names[0]) == sorted(names[1])
    assert len(again.relations) == len(ada.relations)


@pytest.mark.real
@pytest.mark.parametrize(
    "name, itself",
    [("biored/Train.PubTator", 3), ("biored/Dev.PubTator", 1), ("cdr/CDR_TrainingSet.PubTator.txt.gz", 0),
     ("cdr/CDR_DevelopmentSet.PubTator.txt.gz", 0)],
)  # fmt: skip
def test_the_corpora_are_read_whole(name, itself, real_data, tmp_path):
    """Counted line by line; `itself`: relations of an entity with itself."""
    path = real_data / name
    lines = [line.rstrip("\n") for line in (gzip.open if name.endswith("gz") else open)(path, "rt", encoding="utf-8")]
    rows = [line.split("\t") for line in lines if "\t" in line]
    mentions = {(row[0], row[1], row[2]) for row in rows if row[1].isdigit()}
    documents = read_documents(path)
    found = {(d.title, *map(str, span_of(mention, text_of(d)[1])))
             for d in documents for entity in d.entities for mention in entity}  # fmt: skip
    assert len(documents) == sum("|t|" in line for line in lines) and found == mentions
    facts = sum(len(document.relations) for document in documents)
    assert facts == sum(not row[1].isdigit() for row in rows) - itself
    write_documents(documents, tmp_path / "again.txt", format="pubtator")
    again = read_documents(tmp_path / "again.txt")
    assert [document.text for document in again] == [document.text for document in documents]
    assert [document.sentences for document in again] == [document.sentences for document in documents]
    assert list(map(said, again)) == list(map(said, documents))


def said(document):
    """What a document says, whatever the order of its mentions."""
    ids = [entity[0].kb_id or entity[0].name.lower() for entity in document.entities]
    words = text_of(document)[1]
    mentions = {(*span_of(mention, words), mention.type, kb_id)
                for kb_id, entity in zip(ids, document.entities, strict=True) for mention in entity}  # fmt: skip
    return mentions, {(ids[fact.head], fact.relation, ids[fact.tail]) for fact in document.relations}
