"""Verdicts of people: certain in trust, weights and cleaning; kept by files and merging."""

from dataclasses import replace

import numpy as np
import pytest

from finecl_hf.data.documents import Document
from finecl_hf.data.readers import read_documents, write_documents
from finecl_hf.denoising.cleaning import clean_files
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.files import SCHEMA
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import SCORES, unit_trust
from finecl_hf.learning_order.verdicts import Verdict, Verdicts, with_verdicts
from tests.helpers.small_orders import assert_same, make


def verdict_of(document, number, verdict, right_relation="", **others):
    fact = document.relations[number]
    place = (document.title, fact.head, fact.tail, fact.relation)
    return Verdict(document.instance_id(fact), *place, verdict, right_relation, **others)


@pytest.fixture
def judged():
    order = make([f"d{i}#0#1#P17" for i in range(12)])
    return replace(order, verdict=np.array([1, -1] + [0] * 10))


def test_a_table_without_verdicts_is_written_as_before(tmp_path):
    order = make([f"{i}" for i in range(5)])
    table = order.to_table()
    assert "verdict" not in table.column_names and table.schema.metadata[b"finecl_hf.version"] == b"3"
    assert table.column_names == [name for name in SCHEMA.names if name != "verdict"]
    assert LearningOrder.from_table(table).verdict.tolist() == [0] * 5


@pytest.mark.parametrize("names", [True, False])
def test_files_keep_verdicts(tmp_path, judged, names):
    judged.write(tmp_path / "o.parquet")
    read = LearningOrder.read(tmp_path / "o.parquet", names)
    assert read.verdict.dtype == np.int8 and read.verdict.tolist() == judged.verdict.tolist()
    if names:
        assert_same(read, judged)


def test_json_says_that_it_loses_verdicts(tmp_path, judged, caplog):
    judged.write(tmp_path / "o.json")
    assert "no place for the verdicts" in caplog.text
    assert "d1#0#1#P17" not in LearningOrder.read(tmp_path / "o.json").instance_id.to_pylist()


def test_verdicts_are_certain_for_every_score(judged):
    for name in [*SCORES, "margin_within_relation"]:
        trust, before = unit_trust(name, judged), unit_trust(name, replace(judged, verdict=None))
        assert trust[:2].tolist() == [1, 0]
        np.testing.assert_array_equal(trust[2:], before[2:])


def test_weights(judged):
    judged = replace(judged, verdict=np.where(judged.first_epoch < 0, 1, -1))
    for scheme, highest in (("linear", 1), ("exponential", 1), ("uniform", 0)):
        for weight_by in ("first_epoch", "probability"):
            weights = judged.weights(scheme, 1, weight_by).of(judged.key)[0]
            assert set(weights[judged.verdict > 0]) == {highest} and np.isnan(weights[judged.verdict < 0]).all()


def test_merging_keeps_verdicts_and_refuses_contradictions(judged):
    other = replace(make([f"x{i}" for i in range(3)], epochs=5), verdict=[0, 1, -1])
    merged = LearningOrder.merge([judged, other])
    assert merged.verdict.tolist() == [*judged.verdict.tolist(), 0, 1, -1]
    bare = replace(judged.without_epochs(), first_epoch=np.zeros(12, int), verdict=None)
    both = LearningOrder.merge([bare, judged], "min")
    assert dict(zip(both.key, both.verdict, strict=True)) == dict(zip(judged.key, judged.verdict, strict=True))
    with pytest.raises(FineCLError, match="2 labels are right by the verdicts of one learning order"):
        LearningOrder.merge([judged, replace(judged, verdict=-judged.verdict)], "min")


def test_values(judged):
    for wrong in ([2] * 12, [0.5] * 12, [np.nan] * 12):
        with pytest.raises(FineCLError, match="a verdict is 1"):
            replace(judged, verdict=np.array(wrong))
    assert judged.summary().endswith("people have judged 2 labels: 1 right, 1 wrong")


def test_cleaning_does_as_people_say(tmp_path, ada, curie):
    write_documents([ada, curie], tmp_path / "in.json")
    order = LearningOrder.for_documents([ada, curie])
    order.record_epoch([0.9, 0.1, 0.8, 0.7, 0.6], [1, -1, 1, 1, 1], [True, False, True, True, True])
    replace(order, verdict=[-1, 1, 0, 0, 0]).write(tmp_path / "o.parquet")
    for choice in ({"share": 1.0}, {"threshold": 0.0}, {"share": 0.8}):
        clean_files(tmp_path / "o.parquet", tmp_path / "in.json", tmp_path / "out.json", "probability", **choice)
        kept = [fact.relation for document in read_documents(tmp_path / "out.json") for fact in document.relations]
        assert kept == ["located in", "capital of", "born in", "died in"]


def test_correcting_a_document(ada):
    rows = [verdict_of(ada, 0, "other", "died in"), verdict_of(ada, 1, "wrong"), verdict_of(ada, 2, "unsure")]
    corrected = Verdicts(rows).correct(ada)
    assert [fact.relation for fact in corrected.relations] == ["died in", "capital of"]
    assert Document.from_dict(corrected.to_dict()) == corrected
    again = Verdicts([verdict_of(ada, 1, "other", "capital of")]).correct(ada)
    assert again.relations == [ada.relations[0], ada.relations[2]]  # it holds already
    assert Verdicts([verdict_of(ada, 0, "right")]).correct(ada) is ada


def test_an_order_takes_verdicts_and_what_holds_instead(ada, curie):
    order = LearningOrder.for_documents([ada])
    order.record_epoch([0.9, 0.1, 0.5], [1, -1, 1], [True, False, True])
    rows = [verdict_of(ada, 0, "right"), verdict_of(ada, 1, "other", "part of"), verdict_of(curie, 0, "wrong")]
    new = with_verdicts(order, Verdicts([*rows, verdict_of(ada, 2, "unsure")]))
    assert new.verdict.tolist() == [1, -1, 0, 1, -1] and new.num_epochs == 1
    assert new.instance_id.to_pylist()[3:] == ["Ada#1#2#part of", "Curie#0#1#born in"]
    assert new.weights().of(new.key)[0][3] == 1 and "past the length" not in new.summary()
    assert with_verdicts(new, Verdicts([verdict_of(ada, 0, "wrong")])).verdict.tolist() == [-1, -1, 0, 1, -1]


def test_the_file_of_verdicts(tmp_path, ada):
    rows = [verdict_of(ada, 0, "right", judges=3, stratum="worst"), verdict_of(ada, 1, "other", "é#%")]
    Verdicts(rows).write(tmp_path / "v.parquet")
    assert Verdicts.read(tmp_path / "v.parquet").rows == rows
    with pytest.raises(FineCLError, match="no such file"):
        Verdicts.read(tmp_path / "none.parquet")
    (tmp_path / "junk.parquet").write_text("junk")
    make(["a"]).write(tmp_path / "order.parquet")
    for name in ("junk.parquet", "order.parquet"):
        with pytest.raises(FineCLError, match="holds no verdicts"):
            Verdicts.read(tmp_path / name)
    (tmp_path / "v.json").write_text("{}")
    with pytest.raises(FineCLError, match="run `finecl-hf review import .*v.json DOCUMENTS OUTPUT --verdicts"):
        Verdicts.read(tmp_path / "v.json")
    with pytest.raises(FineCLError, match='"maybe" is no verdict'):
        Verdicts([replace(rows[0], verdict="maybe")])
    with pytest.raises(FineCLError, match="1 verdicts are about labels that another one"):
        Verdicts([rows[0], rows[0]])


@pytest.mark.parametrize("head, tail, relation", [(-1, 0, "P1"), (1, 1, "P1"), (0, 1, "NA")])
def test_facts_that_no_document_can_hold(head, tail, relation, tmp_path):
    name = f"d#{head}#{tail}#{relation}"
    Verdicts([Verdict(name, "d", head, tail, relation, "right", stratum="missing")]).write(tmp_path / "v.parquet")
    with pytest.raises(FineCLError, match="v.parquet: .*cannot be a fact"):
        Verdicts.read(tmp_path / "v.parquet")
