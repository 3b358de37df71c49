"""What is published of a learning order where little is known of it."""

import pytest
from huggingface_hub import DatasetCard

from finecl_hf import LearningOrder
from finecl_hf.denoising.publishing import size_category, stage_learning_order
from finecl_hf.errors import FineCLError


def test_an_order_without_a_run_or_dynamics(tmp_path):
    """As a trainer in Python leaves it that was given no facts for a card."""
    (tmp_path / "out").mkdir()
    (tmp_path / "staged").mkdir()
    order = LearningOrder(["a#0#1#P1", "b#1#0#P1", "b#2#0#P1"], first_epoch=[0, -1, 0])
    order.write(tmp_path / "out" / "learning_order.parquet")
    (tmp_path / "out" / "mine.parquet").touch()
    stage_learning_order(tmp_path / "out", tmp_path / "staged", "user/order")
    names = {path.name for path in (tmp_path / "staged").iterdir()}
    assert names == {"learning_order.parquet", "learning_order.png", "README.md"}
    card = DatasetCard.load(tmp_path / "staged" / "README.md")
    assert card.data.configs == [
        {"config_name": "learning_order", "data_files": "learning_order.parquet", "default": True}
    ]
    assert card.data.size_categories == ["n<1K"] and card.data.pretty_name == "order"
    assert "| 0 | 2 | 66.7% |" in card.text and "| never | 1 | 33.3% |" in card.text
    assert "## Training" not in card.text and "missing" not in card.text and "Self-test" not in card.text


def test_a_folder_without_a_learning_order(tmp_path):
    with pytest.raises(FineCLError, match="learning_order.parquet: there is no such file"):
        stage_learning_order(tmp_path, tmp_path / "staged", "user/order")


@pytest.mark.parametrize(
    "rows, name", [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (2_500_000, "1M<n<10M"), (10**9, "n>1B")]
)
def test_the_hub_s_names_of_sizes(rows, name):
    assert size_category(rows) == name
