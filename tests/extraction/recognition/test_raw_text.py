"""Whatever a pipeline is given becomes a document, or a sentence that says why not."""

import random

import pytest

from finecl_hf.data.documents import Document
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.recognition.gazetteer import Gazetteer
from finecl_hf.extraction.recognition.raw_text import TextReader, is_single


TEXT = "Marie Curie was born in Warsaw in 1867. Curie had two daughters."
NAMES = Gazetteer([("Marie Curie", "PERSON", "Q1"), ("Curie", "PERSON", ""), ("Warsaw", "GPE", "")])


def read(item, types=frozenset(), **options):
    (source,) = TextReader(**options).read([item], types)
    if source.error:
        raise source.error
    return [[(m.name, m.type) for m in entity] for entity in source.document.entities]


def test_raw_text_with_types_as_the_model_knows_them():
    curie = [("Marie Curie", "PERSON"), ("Curie", "PERSON")]
    assert read(TEXT, recogniser=NAMES) == [curie, [("Warsaw", "GPE")]]
    found = read({"text": TEXT}, frozenset({"PER", "LOC", "TIME"}), recogniser=NAMES)
    assert found == [[("Marie Curie", "PER"), ("Curie", "PER")], [("Warsaw", "LOC")], [("1867", "TIME")]]
    assert len(read(TEXT, frozenset({"TIME"}), recogniser=NAMES, dates=False)) == 2
    assert read(TEXT, recogniser=NAMES, numbers=True, join_mentions=False)[-1] == [("two", "NUM")]
    assert read(TEXT, recogniser=NAMES, type_names={"GPE": "City"})[1] == [("Warsaw", "City")]


def test_a_recogniser_that_knows_dates_finds_them_itself():
    dates = Gazetteer([("Warsaw", "DATE", "")])
    assert read(TEXT, recogniser=dates, dates=True) == [[("Warsaw", "DATE")]]


def test_given_entities_are_merged_unless_they_are_lists():
    first, last = {"start": 0, "end": 11, "label": "PER"}, {"start": 40, "end": 45, "label": "PER"}
    assert len(read({"text": TEXT, "entities": [first, last]})) == 1
    assert len(read({"text": TEXT, "entities": [[first], last]})) == 2
    assert len(read({"text": TEXT, "entities": [first, last]}, join_mentions=False)) == 2
    assert read({"text": TEXT, "entities": [[first, last]]})[0][1] == ("Curie", "PER")
    assert read({"text": " ", "entities": []}) == []


@pytest.mark.parametrize(
    "item, words",
    [
        (TEXT, "this is raw text.*give `entities` with it, or the pipeline a `recogniser`"),
        ({"text": 3, "entities": []}, "text: expected a string"),
        ({"text": TEXT, "entities": 3}, "entities: expected a list"),
        ({"text": TEXT, "entities": [[]]}, r"entities\[0\]: the entity has no mention"),
        (
            {"text": TEXT, "entities": [{"start": 0, "end": 5, "text": "Curie"}]},
            r'entities\[0\]: \[0, 5\) reads "Marie"',
        ),
        ({"text": TEXT, "entities": ["Marie"]}, r"entities\[0\]: expected a list of spans"),
        ({"text": "\ud800", "entities": []}, "half of a character"),
        ({"text": TEXT, "entities": [], "title": []}, "title: expected a string"),
        ({"text": "x" * 20_000, "entities": []}, "more than 10,000 characters"),
        ({"titel": "x", "body": TEXT}, 'expected the key "text", or "title".*; found titel, body'),
        ({}, "found nothing"),
        (3, "expected a document, a text"),
        (None, "expected a document, a text"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(item, words):
    with pytest.raises(FineCLError, match=words):
        read(item)


def test_more_entities_than_a_document_may_have_are_read():
    text = "".join(f"name{number} said so. " for number in range(1500))
    document = TextReader(lambda text: [(at, at + 5) for at in range(0, 15_000, 10)], join_mentions=False).read(
        [text]
    )[0]
    assert document.error is None and len(document.document.entities) == 1500 and document.document.pairs is None


class Doc:
    """As much of spaCy's as is looked at."""

    text = "Ada left. Bob came"

    class Entity:
        def __init__(self, start, end, kb_id=""):
            self.start_char, self.end_char, self.label_, self.kb_id_, self.ent_id_ = start, end, "PER", kb_id, ""

    ents = (Entity(0, 3, "Q7"), Entity(10, 13))
    sents = (Entity(0, 9), Entity(10, 18))

    def has_annotation(self, name):
        return name == "SENT_START"


def test_a_document_of_spacy():
    assert is_single(Doc()) and read(Doc()) == [[("Ada", "PER")], [("Bob", "PER")]]
    document = TextReader().read([Doc()])[0].document
    assert document.sentences == [["Ada", "left", "."], ["Bob", "came"]] and document.entities[0][0].kb_id == "Q7"


@pytest.mark.parametrize(
    "options",
    [
        {"recogniser": 3},
        {"join_mentions": "x"},
        {"coreference": 3},
        {"type_names": [1]},
        {"type_names": {"PER": 3}},
        {"dates": "x"},
    ],
)
def test_options_that_mean_nothing(options):
    with pytest.raises(FineCLError):
        TextReader(**options)


def test_nothing_but_sentences_comes_of_bad_input():
    draw = random.Random(0)
    values = [None, 0, -1, 5, 1e9, True, "", "x", "Marie Curie", [], {}, [1, 2], [[0, 5]], {"start": 0, "end": 5},
              [{"start": 0}], [{"start": "0", "end": 5}], "\ud800", b"x", float("nan"),
              [[{"start": 0, "end": 99}]]]  # fmt: skip
    reader = TextReader(NAMES)
    for _ in range(3000):
        keys = draw.sample(
            ["text", "entities", "title", "id", "sents", "vertexSet", "pairs", "labels"], draw.randrange(6)
        )
        item = draw.choice([draw.choice(values), {key: draw.choice(values) for key in keys}])
        (source,) = reader.read([item])
        assert (source.error is None) == isinstance(source.document, Document)
