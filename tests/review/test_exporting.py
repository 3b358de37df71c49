"""Labels and missing facts of a corpus as tasks."""

from dataclasses import replace

import numpy as np
import pytest

from finecl_hf.data.readers import write_documents
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.missing_labels import MissingLabel, write_missing
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.review.exporting import collect, export_files, tasks_of


@pytest.fixture
def order(ada, curie):
    """Of both documents, the last label of which was never judged and the first one is known to be right."""
    order = LearningOrder.for_documents([ada, curie])
    observed = np.arange(len(order)) < len(order) - 1
    probability = np.linspace(0.1, 0.9, len(order))
    order.record_epoch(probability, 2 * probability - 1, probability > 0.5, observed)
    order.verdict[0] = 1
    return order


def missing(document, head, tail, **others):
    name = f"{document.title}#{head}#{tail}#knows"
    names = document.longest_name(head), document.longest_name(tail)
    row = MissingLabel(name, document.title, head, tail, "knows", *names, 0.5, 0.0, 0.0, 0.0, 1.0)
    return replace(row, **others)


def test_labels_as_columns(ada, curie, order):
    stranger = replace(curie, title="Curie II")
    labels, relations = collect([curie, ada, stranger], order, np.arange(len(order), dtype=float))
    assert relations == {"born in", "located in", "capital of", "died in"}
    assert labels.trust.tolist()[1:5] == [pytest.approx(np.nan, nan_ok=True), 0, 1, 2]
    assert np.isnan(labels.trust[[1, 5, 6]]).all()  # never judged, and not known to the order
    assert labels.judged.tolist() == [False, False, True, False, False, False, False]
    assert labels.triple[0] == labels.triple[5] and labels.document[0] != labels.document[5]
    with pytest.raises(FineCLError, match="no labels to judge"):
        collect([replace(ada, relations=[])], order, np.zeros(len(order)))


def test_tasks_come_in_the_order_of_the_choice(ada, curie):
    chosen = {curie.fact_key(curie.relations[1]): "worst", ada.fact_key(ada.relations[0]): "random", 3: "worst"}
    tasks = tasks_of([ada, curie], chosen, {"worst": 2, "random": 9}, {"died in": "died"})
    assert [(task.title, task.relation_name, task.stratum, task.stratum_size) for task in tasks] == [
        ("Curie", "died", "worst", 2), ("Ada", "born in", "random", 9),
    ]  # fmt: skip


@pytest.mark.parametrize("change", [{"head": 9}, {"head_name": "Byron"}])
def test_missing_facts_of_other_entities(ada, change):
    row = missing(ada, 0, 3)
    chosen, sizes = {row.key: "missing"}, {"missing": 1}
    (task,) = tasks_of([ada], chosen, sizes, {}, [replace(row, head_name="", tail_name="")])  # published without names
    assert (task.head, task.tail, task.stratum) == ("Ada Lovelace", "Charles Babbage", "missing")
    with pytest.raises(FineCLError, match="Ada#0#3#knows: the document has other entities"):
        tasks_of([ada], chosen, sizes, {}, [replace(row, **change)])


@pytest.fixture
def export(tmp_path, ada, curie, order):
    order.write(tmp_path / "order.parquet")
    write_documents([ada, curie], tmp_path / "silver.json")
    write_missing([missing(ada, 0, 3)], tmp_path / "missing.parquet")

    def made(name="tasks.csv", source="silver.json", **options):
        options = {"score": "probability", **options}
        return export_files(tmp_path / "order.parquet", tmp_path / source, tmp_path / name, "csv", **options)

    return made


def test_what_is_told(export, tmp_path):
    said = export(worst=2, random=1, missing=tmp_path / "missing.parquet")
    assert "Wrote 4 tasks" in said and "2 least trusted labels and 1 at random" in said
    rows = (tmp_path / "tasks.csv").read_text(encoding="utf-8-sig").splitlines()
    for worst, random, parts in [
        (0, 1, "1 label at random, and 1 fact that seems to be missing."),
        (0, 0, "1 fact that seems to be missing."),
        (1, 0, "the 1 least trusted label, and 1 fact that seems to be missing."),
    ]:
        words = {"worst": worst, "random": random, "missing": tmp_path / "missing.parquet"}
        assert export("others.csv", **words).endswith(f"others.csv: {parts}")
    assert len(rows) == 5 and "Ada#0#3#knows" in "".join(rows) and "Ada#0#1#born in" not in "".join(rows)


def test_no_label_left_for_the_random_sample(export, tmp_path, ada, order, caplog):
    write_documents([ada], tmp_path / "ada.json")
    export(source="ada.json", worst=9)
    assert "No label is left for --random 50, so no estimate" in caplog.text  # one label was judged before
    order.verdict[0] = 0
    order.write(tmp_path / "order.parquet")
    export(source="ada.json", worst=9)
    assert "the tasks are all labels of the corpus" in caplog.text


def test_what_is_refused(export, tmp_path, curie):
    write_documents([replace(curie, title="x")], tmp_path / "other.json")
    for told, options in [
        ("ends in .csv", {"name": "tasks.json"}),
        ("this file is read", {"name": "silver.csv", "source": "silver.csv"}),
        ("belongs to another corpus", {"source": "other.json"}),
        ("--candidates 0", {"missing": tmp_path / "missing.parquet", "candidates": 0}),
    ]:
        (tmp_path / "silver.csv").write_text("x")
        with pytest.raises(FineCLError, match=told):
            export(**options)
        assert not (tmp_path / "tasks.csv").exists()


def test_verdicts_are_not_written_over(export, tmp_path):
    export(worst=2, random=0)
    text = (tmp_path / "tasks.csv").read_text(encoding="utf-8-sig").replace('""', '"right"', 1)
    (tmp_path / "tasks.csv").write_text(text)
    with pytest.raises(FineCLError, match="holds 1 verdicts; import them first"):
        export(worst=2, random=0)
    assert (tmp_path / "tasks.csv").read_text() == text
