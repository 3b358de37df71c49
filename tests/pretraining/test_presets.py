"""What lies beside the paper, in a run of the script."""

import json

import pytest

from finecl_hf import LearningOrder, read_documents
from finecl_hf.data.documents import fact_id
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.missing_labels import MissingLabel, write_missing
from finecl_hf.pretraining.arguments import PretrainArguments
from tests.helpers.script_runs import run


def test_blanked_is_what_the_evidence_compares(tmp_path):
    args = PretrainArguments.from_preset("blanked", output_dir=str(tmp_path), learning_order="order.parquet")
    assert (args.ed_weight, args.blank_share, args.weight_by, args.na_weight) == (0, 0.7, "evidence", 0.5)


@pytest.mark.slow
def test_a_run_with_all_of_it(corpus, bert_folder, tmp_path, trainers):
    documents = read_documents(corpus / "silver.json")
    order = LearningOrder.for_documents(documents)
    order.record_epoch(
        *([0.5 + i / 2 / len(order) for i in range(len(order))], [0.1] * len(order)), [True] * len(order)
    )
    order.write(tmp_path / "order.parquet")
    missing = []
    for document in documents:
        known = {(fact.head, fact.tail) for fact in document.relations}
        head, tail = next(pair for pair in document.judged_pairs if pair not in known)
        relation = document.relations[0].relation if document.relations else "P19"
        place = document.title, head, tail, relation
        missing.append(MissingLabel(fact_id(*place), *place, "", "", 0.9, 1.0, 0.0, 0.0, 3.0))
    write_missing(missing, tmp_path / "missing.parquet")
    options = {"max_partners": 8, "weight_scale": 2, "drop_share": 0.2, "logging_steps": 1}
    options |= {"learning_order": tmp_path / "order.parquet", "missing_labels": tmp_path / "missing.parquet"}
    result = run("pretrain", bert_folder, corpus, tmp_path / "out", "--preset", "blanked", **options)
    logs = json.loads((tmp_path / "out" / "trainer_state.json").read_text())["log_history"]
    assert result["train_loss"] > 0 and any(entry.get("loss_rd", 0) > 0 for entry in logs)
    assert all(entry["loss_ed"] == 0 for entry in logs if "loss_ed" in entry)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "mask tokens in place of their names" in card and "completes a fact" not in card
    (trainer,) = trainers
    assert len(trainer.data_collator.na_doubts) == len(missing) and not trainer.data_collator.entity_rows


def test_missing_labels_have_to_be_there(corpus, bert_folder, tmp_path):
    with pytest.raises(FineCLError, match="missing_labels.parquet"):
        run("pretrain", bert_folder, corpus, tmp_path / "out", missing_labels=tmp_path / "none.parquet")
