"""What the card of an encoder says of its run."""

import pytest

from finecl_hf.cards.model_card import TrainingData
from finecl_hf.pretraining.arguments import PretrainArguments
from finecl_hf.pretraining.card import encoder_card
from finecl_hf.training.arguments import ModelArguments


def card(tmp_path, **flags):
    args = PretrainArguments(str(tmp_path / "run"), use_cpu=True, **flags)
    data = TrainingData(name="silver.json", documents=2)
    return encoder_card(ModelArguments(model_name_or_path="bert-base-uncased"), args, data, 128)


@pytest.mark.parametrize(
    ("order", "named"),
    [("user/order", "user/order"), ("user/order@v1", "user/order@v1"), ("/home/me/o.parquet", "o.parquet")],
)
def test_the_order_without_folders(tmp_path, order, named):
    found = card(tmp_path, learning_order=order, drop_share=0.2, weight_by="evidence")
    assert found.learning_order == named and found.weight_by == "evidence" and found.drop_share == 0.2


def test_a_file_here_is_no_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "order").write_text("")
    assert card(tmp_path, learning_order="user/order").learning_order == "order"


def test_uniform_weights_know_no_order(tmp_path):
    found = card(tmp_path, weight_scheme="uniform", ed_weight=0.0)
    assert found.learning_order is None and found.weight_by is None and found.drop_share == 0.0
    assert found.loss_weights == {"rd": 1.0, "ed": 0.0, "mlm": 1.0}
