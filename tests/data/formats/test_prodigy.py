"""What Prodigy alone has; what it shares with other tools stands in test_annotations.py."""

from finecl_hf.data.readers import read_documents
from tests.data.formats.test_annotations import made
from tests.helpers.format_examples import PRODIGY


def test_spans_may_be_named_by_relations_alone(tmp_path, caplog):
    spans = {"head_span": PRODIGY["spans"][0], "child_span": PRODIGY["spans"][1]}
    relation = {"head": 0, "child": 2, "label": "knows", **spans}
    rejected = {**PRODIGY, "answer": "reject"}
    records = [{**PRODIGY, "spans": [], "relations": [relation]}, rejected, PRODIGY]
    records.append({**PRODIGY, "relations": [{**relation, "head_span": "Ada"}]})
    first, second, third, fourth = read_documents(made(tmp_path, records))
    assert fourth.relations == first.relations, "spans of an odd kind are not needed where tokens name the place"
    assert [entity[0].name for entity in first.entities] == ["Ada", "Babbage"] and len(first.relations) == 1
    assert (
        not second.labelled and 'answers other than accept, whose relations are not read ("reject" 1)' in caplog.text
    )
    assert (second.title, third.title) == (f"{first.title}-2", f"{first.title}-3")
