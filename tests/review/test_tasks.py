"""What a judge sees: the text with both mentions marked, and names instead of ids."""

import re

from finecl_hf.data.documents import Document, Fact
from finecl_hf.review.tasks import choices, task_of


def test_a_task_shows_the_label_and_where_its_mentions_stand(ada):
    fact = ada.relations[0]
    task = task_of(ada, fact, {"born in": "place of birth"}, "worst", 7)
    assert (task.instance_id, task.title) == (ada.instance_id(fact), "Ada")
    assert (task.relation, task.relation_name) == ("born in", "place of birth")
    assert (task.head, task.head_type, task.tail, task.tail_type) == ("Ada Lovelace", "PER", "London", "LOC")
    assert (task.stratum, task.stratum_size) == ("worst", 7)
    texts = {role: [task.text[start:end] for start, end in spans] for role, spans in task.spans.items()}
    assert texts == {"head": ["Ada Lovelace"], "tail": ["London"]}
    assert "<head>Ada Lovelace</head> was born in <tail>London</tail>" in task.marked
    assert re.sub("</?(head|tail)>", "", task.marked) == task.text


def test_mentions_of_both_entities_are_those_of_each():
    """`New York` is the city, `New York University` the university: the words that they share belong to both."""
    words = "He left New York University .".split()
    document = Document.from_dict(
        {
            "title": "d", "sents": [words], "labels": [{"h": 0, "t": 1, "r": "in", "evidence": [0]}],
            "vertexSet": [
                [{"name": "New York University", "sent_id": 0, "pos": [2, 5], "type": "ORG"}],
                [{"name": "New York", "sent_id": 0, "pos": [2, 4], "type": "LOC"}],
            ],
        }
    )  # fmt: skip
    task = task_of(document, document.relations[0], {})
    texts = {role: [task.text[start:end] for start, end in spans] for role, spans in task.spans.items()}
    assert texts == {"head": ["New York University"], "tail": ["New York"]}
    assert task.relation_name == "in"  # a relation without a readable name


def test_control_characters_and_line_breaks_do_not_move_the_spans():
    words = ["A\u2028da", "\x07met", "Bob", "."]
    mentions = [[{"name": "Ada", "sent_id": 0, "pos": [0, 1], "type": "PER"}],
                [{"name": "Bob", "sent_id": 0, "pos": [2, 3], "type": "PER"}]]  # fmt: skip
    document = Document.from_dict({"title": "d", "sents": [words], "vertexSet": mentions, "labels": []})
    task = task_of(document, Fact(0, 1, "met", []), {})
    assert not {"\u2028", "\x07"} & set(task.text)
    ((start, end),) = task.spans["tail"]
    assert task.text[start:end] == "Bob"


def test_relations_of_one_name_differ_in_the_list():
    assert choices({"P2": "member of", "P1": "member of", "founder": "founder"}) == [
        "P1: member of", "P2: member of", "founder",
    ]  # fmt: skip
