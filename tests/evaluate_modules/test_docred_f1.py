"""DocRED's scores as an `evaluate` module."""

import evaluate
import pytest

from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.metrics import docred_f1_path, docred_scores
from tests.helpers.small_documents import small_document


def facts(*rows):
    return [{"h_idx": head, "t_idx": tail, "r": relation} for head, tail, relation in rows]


def test_evaluate_module_loads_offline_and_agrees(ada, curie):
    metric = evaluate.load(docred_f1_path())
    predictions = [facts((0, 1, "born in"), (2, 1, "capital of")), [], facts((0, 1, "knows"))]
    documents = [ada, curie, small_document("Ada", ["a", "b"], [(0, 1, "knows"), (1, 0, "knows")])]
    references = [document.to_json() for document in documents]
    scores = metric.compute(predictions=predictions, references=references, train_documents=[curie.to_json(), ada])
    documents[2].title = "Gold"  # two of the three are titled Ada; the module goes by position
    titles = ("Ada", "Curie", "Gold")
    rows = [{"title": title, **fact} for title, found in zip(titles, predictions, strict=True) for fact in found]
    expected = docred_scores(rows, documents, [curie, ada])
    assert scores == {key: value for key, value in expected.items() if key != "evidence_f1"}

    metric.add(prediction=predictions[0], reference=references[0])
    metric.add(prediction=[], reference=references[1])
    assert metric.compute()["precision"] == 1 / 2
    assert metric.compute(predictions=[[], []], references=references[:2])["f1"] == 0
    with pytest.raises(FineCLError, match=r"references\[0\] is not JSON"):
        metric.compute(predictions=[[]], references=["Ada"])
    with pytest.raises(FineCLError, match=r"references\[0\] is no document"):
        metric.compute(predictions=[[]], references=["[]"])
    with pytest.raises(FineCLError, match=r"train_documents\[1\] is not JSON"):
        metric.compute(predictions=[[]], references=references[:1], train_documents=[ada, "{"])
    with pytest.raises(DocumentError, match="document 0"):
        metric.compute(predictions=[[]], references=["{}"])


def test_evaluate_module_scores_evidence_where_asked(curie):
    metric = evaluate.load(docred_f1_path(), "evidence")
    prediction = [{"h_idx": 0, "t_idx": 1, "r": "born in", "evidence": [0]}]
    scores = metric.compute(predictions=[prediction], references=[curie.to_json()])
    assert scores["evidence_f1"] == pytest.approx(2 / 3)
