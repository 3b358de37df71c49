"""Sentence-level corpora arrive in the document schema, and their mistakes are named by the record's own fields."""

import pytest

from finecl_hf.data.documents import NA, Document
from finecl_hf.data.formats.sentences import (
    from_fewrel,
    from_opennre,
    from_semeval,
    from_tacred,
    parse_semeval,
)
from finecl_hf.data.readers import read_documents
from finecl_hf.errors import DocumentError
from finecl_hf.extraction.evaluation import semeval_answer_lines


SEMEVAL = (
    '1\t"The <e1>author</e1> of a key-gen uses a <e2>dis assembler</e2>."\r\n'
    "Instrument-Agency(e2,e1)\r\nComment: a remark\r\nwhich goes on.\r\n\r\n"
    '2\t"A <e2>ridge</e2> (<e1>surge</e1>)"\r\nOther\r\nComment:\r\n\r\n'
)


def tacred(**changes):
    record = {
        "id": "e7798fb926b9403cfcd2",
        "relation": "per:title",
        "token": "At the meeting , Tom Thabane was chairman of it".split(),
        "subj_start": 4,
        "subj_end": 5,
        "obj_start": 7,
        "obj_end": 7,
        "subj_type": "PERSON",
        "obj_type": "TITLE",
    }
    return {key: value for key, value in {**record, **changes}.items() if value != "absent"}


def fewrel(**changes):
    record = {
        "relation": "P177",
        "tokens": "The Bridge spans the River Wye near Wye".split(),
        "h": ["bridge", "Q1", [[1]]],
        "t": ["wye", "Q2", [[4, 5], [7]]],
    }
    return {**record, **changes}


def opennre(**changes):
    record = {
        "text": "Steve Jobs founded Apple, Inc.",
        "relation": "founder of",
        "h": {"name": "steve jobs", "id": "Q19837", "pos": [0, 10]},
        "t": {"name": "Apple, Inc", "pos": [19, 29]},
    }
    return {key: value for key, value in {**record, **changes}.items() if value != "absent"}


def argument_text(document, entity):
    return [document.mention_text(mention) for mention in document.entities[entity]]


def read(convert, record):
    document = Document.from_dict(convert(record))
    assert document.is_sentence and document.pairs == [(0, 1)]
    return document


def error_of(convert, record):
    with pytest.raises(DocumentError) as caught:
        Document.from_dict(convert(record))
    assert "\n" not in str(caught.value)
    return caught.value


def test_semeval():
    first, second = (read(from_semeval, record) for record in parse_semeval(SEMEVAL.split("\n")))
    assert first.title == "semeval-1" and first.label == "Instrument-Agency(e2,e1)"
    assert first.sentences == [["The", "author", "of", "a", "key-gen", "uses", "a", "dis", "assembler", "."]]
    assert argument_text(first, 0) == ["author"] and argument_text(first, 1) == ["dis assembler"]
    assert second.label == NA and second.labelled
    assert argument_text(second, 0) == ["surge"] and argument_text(second, 1) == ["ridge"]


def test_semeval_test_file_has_no_relations():
    lines = ['8001\t"Most <e1>audits</e1> were about <e2>waste</e2>."', '8002\t"A <e1>b</e1> <e2>c</e2>."']
    documents = [read(from_semeval, record) for record in parse_semeval(lines)]
    assert [document.title for document in documents] == ["semeval-8001", "semeval-8002"]
    assert not any(document.labelled for document in documents)
    assert "labels" not in documents[0].to_dict()


def test_semeval_entity_borders_are_word_borders():
    document = read(from_semeval, {"id": "3", "sentence": "un<e1>break</e1>able <e2>glass-ware</e2>house"})
    assert document.sentences == [["un", "break", "able", "glass-ware", "house"]]


KBP37 = """15973\t" He fathered <e1> John C. C. Mayo </e1> in eastern <e2> Kentucky </e2> .. "
per:stateorprovinces_of_residence(e1,e2)


15974\t" In <e1> 2005 </e1> <e2> </e2> was purchased . "
no_relation


"""


def test_kbp37(tmp_path):
    (tmp_path / "dev.txt").write_text(KBP37)
    first, second = read_documents(tmp_path / "dev.txt")
    assert [first.entity_names(0), first.entity_names(1)] == [["John C . C . Mayo"], ["Kentucky"]]
    assert first.label == "per:stateorprovinces_of_residence(e1,e2)" and second.label == NA
    assert second.sentences[0] == ["In", "2005", "_", "was", "purchased", "."]  # a blank argument
    assert (second.entities[1][0].start, second.entities[1][0].end) == (2, 3)


def test_semeval_stray_lines_are_reported_and_passed_over():
    lines = ["Other", '1\t"<e1>a</e1> <e2>b</e2>"', "Other", "Cause-Effect(e1,e2)", "", '2\t"<e1>a</e1> <e2>b</e2>"']
    records = list(parse_semeval(lines))
    assert [isinstance(record, DocumentError) for record in records] == [True, True, False, False]
    assert "line 1 (`Other`)" in str(records[0]) and "line 4 (`Cause-Effect(e1,e2)`)" in str(records[1])


@pytest.mark.parametrize(
    "sentence, words",
    [
        ("<e1>a</e1> b", "<e2> is missing"),
        ("<e1>a <e2>b</e2>", "</e1> is missing"),
        ("<e1>a</e1> <e1>b</e1> <e2>c</e2>", "<e1> stands in the sentence twice"),
        ("<e1></e1> <e2>b</e2>", "empty or reversed"),
        ("</e1>a<e1> <e2>b</e2>", "empty or reversed"),
    ],
)
def test_semeval_tags(sentence, words):
    error = error_of(from_semeval, {"id": "1", "sentence": f'"{sentence}"', "relation": "Other"})
    assert error.field == "sentence" and words in error.message


def test_semeval_answers():
    documents = [read(from_semeval, record) for record in parse_semeval(SEMEVAL.split("\n"))]
    lines = semeval_answer_lines(documents, ["Cause-Effect(e1,e2)", NA])
    assert lines == ["1\tCause-Effect(e1,e2)", "2\tOther"]
    with pytest.raises(ValueError):
        semeval_answer_lines(documents, [NA])


def test_tacred():
    document = read(from_tacred, tacred())
    assert document.title == "e7798fb926b9403cfcd2" and document.label == "per:title"
    assert argument_text(document, 0) == ["Tom Thabane"] and argument_text(document, 1) == ["chairman"]
    assert [entity[0].type for entity in document.entities] == ["PERSON", "TITLE"]


@pytest.mark.parametrize("relation", ["no_relation", "NA", "Other", "none"])
def test_no_relation_is_na(relation):
    document = read(from_tacred, tacred(relation=relation))
    assert document.labelled and document.label == NA


@pytest.mark.parametrize("relation", [None, "absent"])
def test_unlabelled(relation):
    assert not read(from_tacred, tacred(relation=relation)).labelled
    assert not read(from_opennre, opennre(relation=relation)).labelled


def test_arguments_may_overlap():
    document = read(from_tacred, tacred(obj_start=5, obj_end=5))
    assert argument_text(document, 1) == ["Thabane"]


@pytest.mark.parametrize(
    "changes, field, words",
    [
        ({"subj_end": 10}, "subj_end", "leaves the sentence, which has 10 words"),
        ({"obj_start": -1}, "obj_start", "leaves the sentence"),
        ({"obj_end": 6}, "obj_end", "comes before the first"),
        ({"obj_end": "absent"}, "", '"obj_end" is missing'),
        ({"subj_start": "four"}, "subj_start", "expected an integer"),
        ({"token": "a string"}, "token", "list of words"),
        ({"token": "absent"}, "", '"token" is missing'),
        ({"id": "absent"}, "", '"id" is missing'),
        ({"id": ""}, "id", "non-empty string"),
        ({"relation": 5}, "relation", "relation name"),
    ],
)
def test_tacred_mistakes(changes, field, words):
    error = error_of(from_tacred, tacred(**changes))
    assert error.field == field and words in error.message


def test_fewrel():
    document = read(from_fewrel, fewrel())
    assert document.label == "P177"
    assert argument_text(document, 0) == ["Bridge"] and argument_text(document, 1) == ["River Wye", "Wye"]
    assert [entity[0].kb_id for entity in document.entities] == ["Q1", "Q2"]


def test_fewrel_positions_with_gaps_take_the_whole_span():
    assert argument_text(read(from_fewrel, fewrel(h=["x", "Q1", [[0, 2]]])), 0) == ["The Bridge spans"]


def test_fewrel_as_the_hub_has_it():
    """Arguments as objects under other names."""
    of_hub = {"relation": "P177", "tokens": fewrel()["tokens"], "names": ["crosses", "..."]}
    for key, role in (("h", "head"), ("t", "tail")):
        name, kb_id, indices = fewrel()[key]
        of_hub[role] = {"text": name, "type": kb_id, "indices": indices}
    assert read(from_fewrel, of_hub) == read(from_fewrel, fewrel())
    assert error_of(from_fewrel, {**of_hub, "tail": None}).field == "tail"


def test_hashed_titles_depend_on_words_positions_and_relation():
    title = read(from_fewrel, fewrel()).title
    content, relation = title.removeprefix("fewrel-").split("-")
    assert (len(content), len(relation)) == (16, 8)
    assert read(from_fewrel, fewrel(relation="P1")).title.startswith(f"fewrel-{content}-")
    assert read(from_fewrel, fewrel(relation="P1")).title != title
    assert read(from_fewrel, fewrel(relation=None)).title == f"fewrel-{content}"
    assert read(from_fewrel, fewrel(t=["wye", "Q2", [[4, 5]]])).title != title
    assert read(from_fewrel, fewrel(tokens="A Bridge spans the River Wye near Wye".split())).title != title


@pytest.mark.parametrize(
    "changes, field, words",
    [
        ({"h": ["x", "Q1", [[1, 8]]]}, "h[2][0]", "leaves the sentence, which has 8 words"),
        ({"t": ["x", "Q1", [[1], []]]}, "t[2][1]", "list of word positions"),
        ({"t": ["x", "Q1", []]}, "t[2]", "lists of word positions"),
        ({"t": ["x", "Q1"]}, "t", "expected [name, id,"),
        ({"t": ["x", "Q1", [["a"]]]}, "t[2][0]", "expected an integer"),
        ({"tokens": [1]}, "tokens", "list of words"),
    ],
)
def test_fewrel_mistakes(changes, field, words):
    error = error_of(from_fewrel, fewrel(**changes))
    assert error.field == field and words in error.message


def test_opennre_text():
    document = read(from_opennre, opennre())
    assert document.sentences == [["Steve", "Jobs", "founded", "Apple", ",", "Inc", "."]]
    assert argument_text(document, 0) == ["Steve Jobs"] and argument_text(document, 1) == ["Apple , Inc"]
    assert document.entities[0][0].kb_id == "Q19837" and document.label == "founder of"
    assert document.title.startswith("opennre-")
    assert read(from_opennre, opennre(id=12)).title == "12"


def test_opennre_tokens():
    head, tail = {"name": "Steve  Jobs", "pos": [0, 2]}, {"name": "apple", "pos": [3, 4]}
    document = read(from_opennre, opennre(text="absent", token="Steve Jobs founded Apple".split(), h=head, t=tail))
    assert argument_text(document, 0) == ["Steve Jobs"] and argument_text(document, 1) == ["Apple"]


def test_opennre_nested_arguments_inside_a_word():
    head, tail = {"name": "Anglo-Dutch", "pos": [0, 11]}, {"name": "Dutch", "pos": [6, 11]}
    document = read(from_opennre, opennre(text="Anglo-Dutchmen", h=head, t=tail))
    assert document.sentences == [["Anglo", "-", "Dutch", "men"]]
    assert argument_text(document, 0) == ["Anglo - Dutch"] and argument_text(document, 1) == ["Dutch"]


@pytest.mark.parametrize(
    "changes, field, words",
    [
        ({"h": {"name": "Steve Jobs", "pos": [1, 11]}}, "h.pos", 'reads "teve Jobs ", but the name is "Steve Jobs"'),
        ({"t": {"name": "Apple", "pos": [25, 31]}}, "t.pos", "leaves the sentence, which has 30 characters"),
        ({"t": {"name": "Apple", "pos": [19, 19]}}, "t.pos", "is empty"),
        ({"t": {"name": "Apple", "pos": [24, 19]}}, "t.pos", "is reversed"),
        ({"t": {"pos": [5, 6]}}, "t.pos", "mark a word"),
        ({"t": {"name": "Apple", "pos": [19]}}, "t.pos", "[start, end)"),
        ({"t": {"name": "Apple"}}, "t", '"pos" is missing'),
        ({"t": ["Apple"]}, "t", "object with name and pos"),
        ({"t": "absent"}, "", '"t" is missing'),
        ({"text": "absent"}, "", '"text" is missing'),
        ({"text": 5.5}, "text", "non-empty string"),
    ],
)
def test_opennre_mistakes(changes, field, words):
    error = error_of(from_opennre, opennre(**changes))
    assert error.field == field and words in error.message


def test_opennre_token_positions_must_read_the_name():
    record = opennre(text="absent", token="Steve Jobs founded Apple".split(), h={"name": "Jobs", "pos": [0, 1]})
    error = error_of(from_opennre, {**record, "t": {"name": "Apple", "pos": [3, 4]}})
    assert error.field == "h.pos" and 'words of `token` and reads "Steve", but the name is "Jobs"' in error.message
