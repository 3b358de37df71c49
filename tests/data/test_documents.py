"""The schema and its validator: each mistake is named by its field, in one sentence."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finecl_hf.data.documents import NA, Document, Fact, Mention, relation_of_id
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.learning_order.table import LearningOrder


@pytest.fixture
def raw(ada):
    return copy.deepcopy(ada.to_dict())


def error_of(raw) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        Document.from_dict(raw)
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)
    return caught.value


def set_path(raw, path, value):
    for key in path[:-1]:
        raw = raw[key]
    raw[path[-1]] = value


def test_parses_docred(ada):
    assert ada.title == "Ada" and ada.labelled and ada.pairs is None and not ada.is_sentence
    assert ada.entities[0] == [Mention("Ada Lovelace", 0, 0, 2, "PER"), Mention("Lovelace", 1, 0, 1, "PER")]
    assert ada.relations[0] == Fact(0, 1, "born in", [0])
    assert ada.mention_text(ada.entities[3][0]) == "Charles Babbage"
    assert ada.entity_names(0) == ["Ada Lovelace", "Lovelace"]


def test_round_trips(ada, curie):
    for document in (ada, curie):
        assert Document.from_dict(document.to_dict()) == document
        assert Document.from_json(document.to_json()) == document


def test_pairs_and_knowledge_base_ids_round_trip(raw):
    raw["pairs"] = [[0, 1], [1, 2], [0, 1]]
    raw["vertexSet"][0][0]["kb_id"] = "Q7259"
    document = Document.from_dict(raw)
    assert document.pairs == [(0, 1), (1, 2)]
    assert document.judged_pairs == document.pairs
    assert Document.from_json(document.to_json()) == document


def test_every_ordered_pair_is_judged_by_default(curie):
    assert curie.judged_pairs == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]


def test_single_label_sentence(raw):
    raw.update(pairs=[[0, 1]], labels=[{"h": 0, "t": 1, "r": "born in"}])
    document = Document.from_dict(raw)
    assert document.is_sentence and document.label == "born in"
    raw["labels"] = []
    assert Document.from_dict(raw).label == NA


@pytest.mark.parametrize("labels", [None, "absent"])
def test_without_labels_is_unlabelled(raw, labels):
    raw["labels"] = labels
    if labels == "absent":
        del raw["labels"]
    document = Document.from_dict(raw)
    assert not document.labelled and document.relations == []
    assert Document.from_dict(document.to_dict()) == document


def test_empty_labels_are_labels(raw):
    raw["labels"] = []
    assert Document.from_dict(raw).labelled


def test_document_without_entities_is_valid(raw):
    raw.update(vertexSet=[], labels=[])
    assert Document.from_dict(raw).judged_pairs == []


def test_what_releases_write_differently_is_accepted(raw):
    raw["title"] = 5
    raw["vertexSet"][0][0].update(sent_id="0", global_pos=[0, 2], index="0_0")
    del raw["vertexSet"][1][0]["type"]
    raw["labels"][0]["evidence"] = None
    document = Document.from_dict(raw)
    assert document.title == "5" and document.entities[1][0].type == "" and document.relations[0].evidence == []


def test_a_label_written_twice_is_one_fact(raw, ada):
    raw["labels"].append(dict(raw["labels"][0]))
    assert Document.from_dict(raw) == ada


def test_labels_as_a_struct_of_lists(raw, ada):
    raw["labels"] = {
        "head": [0, 1, 1],
        "tail": [1, 2, 2],
        "relation_id": ["born in", "located in", "capital of"],
        "relation_text": ["place of birth", "in", "capital"],
        "evidence": [[0], [0], [0]],
    }
    assert Document.from_dict(raw) == ada
    raw["labels"]["tail"].pop()
    assert error_of(raw).field == "labels"
    del raw["labels"]["tail"]
    assert "`tail`" in str(error_of(raw))


def test_instance_ids_do_not_depend_on_the_corpus(ada):
    assert [ada.instance_id(fact) for fact in ada.relations] == [
        "Ada#0#1#born in",
        "Ada#1#2#located in",
        "Ada#1#2#capital of",
    ]


@pytest.mark.parametrize(
    "path, value, field, words",
    [
        (["title"], "", "title", "non-empty string"),
        (["title"], ["a"], "title", "list"),
        (["sents"], [["a"], "b"], "sents", "list of words"),
        (["sents"], None, "sents", "list of words"),
        (["sents", 0, 0], 7, "sents", "list of words"),
        (["sents", 1, 0], "a\ud800", "sents[1]", "\\ud800"),
        (["title"], "\udfff", "title", "half of a character"),
        (["vertexSet"], {}, "vertexSet", "an empty object"),
        (["vertexSet", 2], [], "vertexSet[2]", "non-empty list of mentions"),
        (["vertexSet", 2, 0], "x", "vertexSet[2][0]", "expected an object"),
        (["vertexSet", 0, 1, "sent_id"], 2, "vertexSet[0][1].sent_id", "sentence 2 does not exist"),
        (["vertexSet", 0, 1, "sent_id"], -1, "vertexSet[0][1].sent_id", "does not exist"),
        (["vertexSet", 0, 1, "sent_id"], True, "vertexSet[0][1].sent_id", "expected an integer"),
        (["vertexSet", 0, 1, "sent_id"], 0.5, "vertexSet[0][1].sent_id", "expected an integer"),
        (["vertexSet", 0, 1, "sent_id"], "x", "vertexSet[0][1].sent_id", "expected an integer"),
        (["vertexSet", 3, 0, "pos"], [3, 7], "vertexSet[3][0].pos", "leaves sentence 1, which has 6 words"),
        (["vertexSet", 3, 0, "pos"], [-1, 1], "vertexSet[3][0].pos", "leaves sentence 1"),
        (["vertexSet", 3, 0, "pos"], [3, 3], "vertexSet[3][0].pos", "is empty"),
        (["vertexSet", 3, 0, "pos"], [4, 3], "vertexSet[3][0].pos", "is reversed"),
        (["vertexSet", 3, 0, "pos"], [3], "vertexSet[3][0].pos", "[start, end)"),
        (["vertexSet", 3, 0, "pos"], None, "vertexSet[3][0].pos", "null"),
        (["vertexSet", 3, 0, "name"], 4, "vertexSet[3][0].name", "expected a string"),
        (["vertexSet", 3, 0, "name"], "\ud83d", "vertexSet[3][0]", "\\ud83d"),
        (["labels"], "none", "labels", "list of labels"),
        (["labels", 1], 3, "labels[1]", "expected an object"),
        (["labels", 1, "t"], 4, "labels[1].t", "entity 4 does not exist; the document has 4"),
        (["labels", 1, "h"], -1, "labels[1].h", "entity -1 does not exist"),
        (["labels", 1, "t"], 1, "labels[1]", "same entity"),
        (["labels", 1, "r"], "", "labels[1].r", "relation name"),
        (["labels", 1, "r"], 17, "labels[1].r", "relation name"),
        (["labels", 1, "r"], NA, "labels[1].r", "no relation"),
        (["labels", 1, "r"], "\ud83d", "labels[1].r", "half of a character"),
        (["labels", 1, "evidence"], [2], "labels[1].evidence", "sentence 2 does not exist"),
        (["labels", 1, "evidence"], ["x"], "labels[1].evidence", "expected an integer"),
        (["labels", 1, "evidence"], 0, "labels[1].evidence", "expected a list of sentence numbers, found int 0"),
        (["labels", 1, "evidence"], "01", "labels[1].evidence", "expected a list of sentence numbers"),
        (["labels"], {"head": [0], "tail": [1], "relation_id": ["r"], "evidence": 3}, "labels.evidence", "int 3"),
        (["pairs"], 5, "pairs", "list of [head, tail]"),
        (["pairs"], [[0]], "pairs[0]", "expected [head, tail]"),
        (["pairs"], [[0, 0]], "pairs[0]", "not a pair of two"),
        (["pairs"], [[0, 4]], "pairs[0]", "of the 4 entities"),
        (["pairs"], [[0, 1]], "labels", "which `pairs` does not list"),
    ],
)
def test_bad_values_are_named(raw, path, value, field, words):
    set_path(raw, path, value)
    error = error_of(raw)
    assert error.field == field
    assert words in error.message


@pytest.mark.parametrize(
    "path, field",
    [
        (["title"], ""),
        (["sents"], ""),
        (["vertexSet"], ""),
        (["vertexSet", 1, 0, "sent_id"], "vertexSet[1][0]"),
        (["vertexSet", 1, 0, "pos"], "vertexSet[1][0]"),
        (["labels", 0, "h"], "labels[0]"),
        (["labels", 0, "t"], "labels[0]"),
        (["labels", 0, "r"], "labels[0]"),
    ],
)
def test_missing_keys_are_named(raw, path, field):
    inside = raw
    for key in path[:-1]:
        inside = inside[key]
    del inside[path[-1]]
    error = error_of(raw)
    assert error.field == field and f'"{path[-1]}" is missing' in error.message


@pytest.mark.parametrize("raw", [None, [], "Ada", 3])
def test_a_document_is_an_object(raw):
    assert "expected an object with title, sents and vertexSet" in str(error_of(raw))


def test_message_names_source_document_and_field():
    error = DocumentError("is wrong.", "labels[0].h", "train.json", 7, "Ada")
    assert str(error) == 'train.json, document 7 ("Ada"), labels[0].h: is wrong.'
    assert str(DocumentError("is wrong.")) == "is wrong."
    assert isinstance(error, FineCLError)


def test_message_stays_on_one_short_line_whatever_the_title():
    text = str(DocumentError("is wrong.", source="train.json", index=0, title="a\nb" * 10_000))
    assert "\n" not in text and len(text) < 200


def test_errors_survive_pickling():
    error = DocumentError("is wrong.", "labels[0].h", "train.json", 7, "Ada")
    copied = pickle.loads(pickle.dumps(error))
    assert str(copied) == str(error) and copied.fields() == error.fields()


@pytest.mark.parametrize("name", ["NA", "Na", "no_relation", "No Relation", "NULL", "Other", "none", "N/A", " other "])
def test_names_of_no_relation_are_no_relation(ada, name):
    raw = ada.to_dict()
    raw["labels"][0]["r"] = name
    with pytest.raises(DocumentError, match="is no relation") as error:
        Document.from_dict(raw)
    assert error.value.field == "labels[0].r"


def test_white_space_around_a_relation_is_no_part_of_it(ada):
    raw = ada.to_dict()
    raw["labels"][0]["r"] = f" {ada.relations[0].relation}\t"
    assert Document.from_dict(raw) == ada
    raw["labels"][0]["r"] = "  "
    with pytest.raises(DocumentError, match="expected a relation name"):
        Document.from_dict(raw)


NAMES = st.text(st.sampled_from("#%0123aP"), min_size=1, max_size=12)


@given(one=st.tuples(NAMES, st.integers(0, 3), st.integers(0, 3), NAMES),
       other=st.tuples(NAMES, st.integers(0, 3), st.integers(0, 3), NAMES))  # fmt: skip
def test_no_two_facts_share_an_id(one, other):
    ids = [Document(title, [], []).instance_id(Fact(*rest)) for title, *rest in (one, other)]
    assert (ids[0] == ids[1]) == (one == other)
    assert relation_of_id(ids[0]) == one[3]


def test_ids_of_documents_and_of_columns_are_the_same():
    entities = [[Mention("a", 0, 0, 1)]] * 2
    documents = [Document("x#0", [["a"]], entities, [Fact(0, 1, name)]) for name in ("P1#2", "50%", "P1")]
    for number, document in enumerate(documents):
        document.title += str(number)
    order = LearningOrder.for_documents(documents)
    assert order.instance_id.to_pylist() == [document.instance_id(document.relations[0]) for document in documents]
    assert order.key.tolist() == [document.fact_key(document.relations[0]) for document in documents]
