"""Files that are broken in one way each: that is found, and nothing is said of what is well."""

import random
from dataclasses import replace

import pytest

from finecl_hf.data.documents import Document, Fact, Mention
from finecl_hf.data.health import LOOK, OK, WRONG, Finding, as_json, data_findings, report, types_tell
from finecl_hf.data.readers import write_documents
from finecl_hf.data.tally import SAMPLE, Tally, facts_in
from finecl_hf.errors import DocumentError
from tests.helpers.small_documents import small_document


RELATIONS = ("born in", "capital of", "works for", "spouse")
KINDS = ("PER", "PER", "LOC", "LOC", "ORG")


def sound(count, name, seed=0):
    """Documents of five typed entities, each with a fact of each relation, and spouses both ways."""
    draw, documents = random.Random(f"{name}{seed}"), []
    for number in range(count):
        entities = [f"{kind.lower()}-{name}-{number}-{i}" for i, kind in enumerate(KINDS)]
        facts = [(0, 2, "born in"), (2, 3, "capital of"), (1, 4, "works for"), (0, 1, "spouse"), (1, 0, "spouse")]
        document = small_document(f"{name} {number}", entities, draw.sample(facts, 5))
        document.sentences[0] += draw.sample([f"word{i}" for i in range(1000)], 6)
        for mentions, kind in zip(document.entities, KINDS, strict=True):
            mentions[0].type = kind
        documents.append(document)
    for document in documents[::2]:  # not all in the order of the text
        document.entities[2][0], document.entities[0][0] = (
            replace(document.entities[2][0], start=0, end=1, name=document.sentences[0][0]),
            replace(document.entities[0][0], start=2, end=3, name=document.sentences[0][2]),
        )
    return documents


def tally(role, items):
    counted = Tally(role, f"{role}.json")
    counted.see_all(items)
    return counted


def findings(train, dev=None, task="document", names=None):
    files = [tally("train", train)] + ([tally("dev", dev)] if dev is not None else [])
    return data_findings(files, task, names)


def marked(found, check=None):
    """(check, mark) of all that is not ok."""
    return {(f.check, f.mark) for f in found if f.mark != OK and check in (None, f.check)}


def text_of(found, check):
    return " ".join(f"{f.found} {f.means} {f.advice}" for f in found if f.check == check and f.mark != OK)


@pytest.fixture
def train():
    return sound(60, "train")


@pytest.fixture
def dev():
    return sound(30, "dev")


def test_sound_files_are_left_in_peace(train, dev):
    found = findings(train, dev, names={relation: relation for relation in RELATIONS})
    assert not marked(found)
    checks = (
        "documents",
        "positions",
        "relations",
        "NA",
        "symmetry",
        "direction",
        "entity types",
        "copies",
        "leakage",
    )
    assert {f.check for f in found} >= {*checks, "types and labels", "known facts"}


def test_the_order_of_documents_changes_nothing(train, dev):
    assert as_json(findings(train, dev)) == as_json(findings(train, dev[::-1]))
    one, other = tally("train", train), tally("train", train[::-1])
    assert [d.title for d in one.sample] == [d.title for d in other.sample]


def test_only_a_sample_is_kept():
    documents = [small_document(f"{i}", ["a", "b"]) for i in range(SAMPLE + 50)]
    kept = tally("train", documents).sample
    assert len(kept) == SAMPLE
    assert sorted(d.key for d in kept) == sorted(d.key for d in documents)[:SAMPLE]


# Labels ---------------------------------------------------------------------------------------------


def test_relations_that_training_lacks(train, dev):
    dev[0].relations.append(Fact(0, 4, "owns"))
    found = findings(train, dev)
    assert marked(found) == {("relations", WRONG)} and "owns x 1" in text_of(found, "relations")
    with_names = findings(train, dev, names=dict.fromkeys([*RELATIONS, "owns"], "name"))
    assert marked(with_names, "relations") == {("relations", LOOK)}
    assert marked(findings(train, dev, names=dict.fromkeys(RELATIONS, "name")), "relations") == {("relations", WRONG)}


def test_relations_of_rel_info_that_never_occur(train, dev):
    found = findings(train, dev, names=dict.fromkeys([*RELATIONS, "owns", "sells"], "name"))
    assert marked(found) == {("relations", LOOK)} and "owns, sells" in text_of(found, "relations")


def test_rare_relations(train, dev):
    for document in dev:
        document.relations.append(Fact(0, 4, "owns"))
    train[0].relations.append(Fact(0, 4, "owns"))
    found = findings(train, dev)
    assert ("rare relations", LOOK) in marked(found) and "owns x 1" in text_of(found, "rare relations")


@pytest.mark.parametrize("other", ["Born In", "born_in", "born-in", "bornin"])
def test_names_that_look_alike(other, train, dev):
    for document in train[:20]:
        document.relations = [replace(f, relation=f.relation.replace("born in", other)) for f in document.relations]
    found = findings(train, dev)
    assert ("relations", WRONG) in marked(found) and other in text_of(found, "relations")


def test_files_without_labels(train, dev):
    bare = [replace(document, relations=[], labelled=False) for document in dev]
    assert ("labels", WRONG) in marked(findings(bare)) and ("labels", WRONG) in marked(findings(train, bare))
    assert ("labels", LOOK) in marked(findings([*train, *bare]))
    assert ("labels", WRONG) in marked(findings(train, [*dev, bare[0]][1:]))
    test = [tally("train", train), tally("test", bare)]
    assert not marked(data_findings(test, "document"))  # that is what test files are like


def test_labels_that_are_missing_in_one_file(train, dev):
    for document in train:
        document.relations = document.relations[:2]
    found = findings(train, dev)
    assert ("NA", LOOK) in marked(found) and "as often in dev" in text_of(found, "NA")


def test_no_pair_without_a_relation():
    assert ("NA", LOOK) in marked(findings([small_document("a", ["x", "y"], [(0, 1, "r"), (1, 0, "r")])]))


def test_mostly_empty_documents(train, dev):
    train += [replace(document, title=f"{document.title} b", relations=[]) for document in sound(90, "empty")]
    assert ("NA", LOOK) in marked(findings(train, dev))


# Directions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_symmetric_relations_labelled_one_way(share, train, dev):
    for document in train[: int(share * len(train))]:
        document.relations.remove(Fact(1, 0, "spouse"))
    found = findings(train, dev)  # with all gone, only the other file shows that it holds both ways
    assert marked(found) == {("symmetry", LOOK)}
    assert f"{int(share * len(train))} lack it" in text_of(found, "symmetry")


def test_facts_in_the_order_of_the_text():
    documents = [small_document(f"{i}", [f"a{i}", f"b{i}", f"c{i}"], [(0, 1, "r"), (1, 2, "q")]) for i in range(40)]
    assert ("direction", LOOK) in marked(findings(documents))
    for document in documents[::2]:
        document.relations = [replace(f, head=f.tail, tail=f.head) for f in document.relations]
    assert not marked(findings(documents), "direction")


def test_directed_labels_say_the_direction_themselves():
    names = ["Cause(e1,e2)", "Cause(e2,e1)", "Part(e1,e2)"]
    documents = [small_document(f"{i}", [f"a{i}", f"b{i}"], [(0, 1, names[i % 3])], pairs=[(0, 1)]) for i in range(60)]
    (direction,) = [f for f in findings(documents, task="sentence") if f.check == "direction"]
    assert direction.mark == OK and direction.figures["single"] == ["Part(e1,e2)"]


def test_arguments_with_one_name(train, dev):
    for document in train[:10]:
        document.entities[1][0].name = document.entities[0][0].name
    assert ("self loops", LOOK) in marked(findings(train, dev))


# Types --------------------------------------------------------------------------------------------------


def test_types_tell_relations_as_counted_by_hand():
    documents = sound(60, "a")
    assert types_tell(tally("train", documents)) == pytest.approx(1.0)  # each relation has its types
    flat = [replace(d, entities=[[replace(m[0], type="X")] for m in d.entities]) for d in documents]
    assert types_tell(tally("train", flat)) is None and types_tell(tally("train", documents[:5])) is None


def test_shuffled_labels_do_not_fit_the_types(train, dev):
    labels = [fact.relation for document in train for fact in document.relations]
    random.Random(1).shuffle(labels)
    for document in train:
        document.relations = [replace(fact, relation=labels.pop()) for fact in document.relations]
    found = findings(train, dev)
    assert ("types and labels", WRONG) in marked(found) and "shuffled" in text_of(found, "types and labels")


def test_a_fact_that_stands_alone_with_its_types(train, dev):
    train[7].relations[train[7].relations.index(Fact(0, 2, "born in"))] = Fact(2, 0, "born in")
    (told,) = [f for f in findings(train, dev) if f.check == "types and labels" and f.figures["role"] == "train"]
    assert told.mark == OK and "train 7: born in from LOC to PER" in told.found
    assert told.figures["odd"] == [["born in", "LOC", "PER"]]


def test_types_of_one_file_only(train, dev):
    for document in dev:
        for mentions in document.entities:
            mentions[0].type = {"PER": "Person", "LOC": "Place"}.get(mentions[0].type, mentions[0].type)
    found = findings(train, dev)
    assert {("entity types", LOOK), ("types and labels", LOOK)} == marked(found)
    assert "Person, Place in dev" in text_of(found, "entity types")


def test_some_types_missing_or_all(train, dev):
    for document in train[:3]:
        document.entities[0][0].type = ""
    assert "missing" in text_of(findings(train, dev), "entity types")
    bare = [
        [replace(d, entities=[[replace(m[0], type="")] for m in d.entities]) for d in file] for file in (train, dev)
    ]
    assert not marked(findings(*bare))


# Copies -------------------------------------------------------------------------------------------------


def test_documents_that_occur_twice(train, dev):
    train += [replace(document, title=f"{document.title} again") for document in train[:5]]
    found = findings(train, dev)
    assert marked(found) == {("copies", LOOK)} and "5 documents" in text_of(found, "copies")
    train[-1].relations = train[-1].relations[1:]
    assert "1 of them with other labels" in text_of(findings(train, dev), "copies")


def test_sentences_with_other_arguments_are_no_copies():
    def sentence(title, head, tail):
        words = "a b c d e f g h i j".split()
        entities = [[Mention(words[i], 0, i, i + 1)] for i in (head, tail)]
        return Document(title, [words], entities, [Fact(0, 1, "r")], pairs=[(0, 1)])

    assert not marked(findings([sentence("a", 0, 1), sentence("b", 2, 3)], task="sentence"), "copies")
    assert marked(findings([sentence("a", 0, 1), sentence("b", 0, 1)], task="sentence"), "copies")


@pytest.mark.parametrize("copies", [1, 3])
def test_documents_of_both_files(copies, train, dev):
    dev += [replace(document, title=f"{document.title} again") for document in train[:copies]]
    found = findings(train, sound(200, "more") + dev if copies == 1 else dev)
    assert marked(found, "leakage") == {("leakage", WRONG if copies == 3 else LOOK)}


def test_facts_that_names_give_away(train, dev):
    for place, document in enumerate(dev):
        document.entities = [list(mentions) for mentions in train[place].entities]
        document.sentences = [[*document.sentences[0]]]
    found = findings(train, dev)
    assert ("known facts", LOOK) in marked(found)
    both = [tally("train", train), tally("dev", dev)]
    pairs = {(d.entities[f.head][0].name, d.entities[f.tail][0].name) for d in train for f in d.relations}
    by_hand = sum(
        (d.entities[f.head][0].name, d.entities[f.tail][0].name) in pairs for d in dev for f in d.relations
    )  # fmt: skip
    assert by_hand > 0 and facts_in(both[1], both[0], "pair_names") == by_hand


# Files --------------------------------------------------------------------------------------------------


def test_invalid_documents_and_a_file_that_breaks_off(train, dev):
    def items():
        yield from train
        yield DocumentError("the span [3, 9) leaves sentence 1", "vertexSet[0][0].pos", "train.json", 60)
        raise DocumentError("the file ends in the middle", source="train.json")

    found = findings(items(), dev)
    assert marked(found) == {("documents", WRONG)} and "2 of train are invalid" in text_of(found, "documents")


def test_positions(train, dev):
    for document in train:
        for mentions in document.entities:
            mentions[0].start, mentions[0].end = mentions[0].start + 1, mentions[0].end + 1
    found = findings(train, dev)
    assert marked(found, "positions") == {("positions", WRONG)} and "from 1" in text_of(found, "positions")
    few = findings([*sound(60, "train")[6:], *train[:6]], dev)
    assert marked(few, "positions") == {("positions", LOOK)} and "stands at" in text_of(few, "positions")


def test_the_wrong_task(train, dev):
    assert ("task", WRONG) in marked(findings(train, dev, task="sentence"))


def test_sentences_with_and_without_na():
    def sentences(name, count, na):
        return [
            small_document(f"{name}{i}", [f"{name}a{i}", f"b{i}"], [] if i < na else [(i % 2, 1 - i % 2, "r")],
                           pairs=[(i % 2, 1 - i % 2)]) for i in range(count)
        ]  # fmt: skip

    assert not marked(findings(sentences("t", 60, 20), sentences("d", 30, 10), task="sentence"), "NA")
    assert marked(findings(sentences("t", 60, 0), sentences("d", 30, 10), task="sentence"), "NA") == {("NA", LOOK)}


def test_of_file_reads_any_format_and_refuses_a_file_without_documents(tmp_path, train):
    write_documents(train, tmp_path / "a.parquet")
    assert Tally.of_file("train", str(tmp_path / "a.parquet")).documents == len(train)
    (tmp_path / "b.json").write_text('[{"title": "x"}]')
    with pytest.raises(DocumentError, match="sents"):
        Tally.of_file("train", str(tmp_path / "b.json"))


def test_the_report_says_what_to_do_where_something_is_to_be_done():
    fine = Finding("one", OK, "fine.", "unsaid", "unsaid")
    lines = report([fine, Finding("two", LOOK, "strange " * 30, "a meaning", "an advice")]).splitlines()
    assert lines[0].split() == ["ok", "one", "fine."] and lines[1].startswith("look  two")
    assert max(map(len, lines)) <= 100 and "unsaid" not in "".join(lines)
    assert any("means:  a meaning" in line for line in lines) and any("do:     an advice" in line for line in lines)
    assert lines[-1] == "0 wrong, 1 to look at, 1 ok."
