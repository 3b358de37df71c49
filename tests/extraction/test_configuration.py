"""The relation model's configuration round-trips, whatever the encoder."""

import pytest
from transformers import AutoConfig, BertConfig, RobertaConfig

from finecl_hf import FineCLConfig, FineCLForRelationExtraction  # the model registers the configuration
from finecl_hf.errors import FineCLError


@pytest.mark.parametrize("encoder", [BertConfig(hidden_size=32), RobertaConfig(hidden_size=16)])
def test_save_and_load(tmp_path, encoder):
    labels = {"NA": 0, "P19": 1, "born in": 2}
    config = FineCLConfig.for_labels(
        labels, text_config=encoder, relation_names={"P19": "place of birth"}, task="sentence", threshold=-1.5
    )
    config.save_pretrained(tmp_path)
    for loaded in (FineCLConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert isinstance(loaded, FineCLConfig)
        assert isinstance(loaded.text_config, type(encoder))
        assert loaded.text_config.hidden_size == encoder.hidden_size
        assert loaded.label2id == labels
        assert loaded.id2label == {0: "NA", 1: "P19", 2: "born in"}
        assert (loaded.num_labels, loaded.task, loaded.threshold) == (3, "sentence", -1.5)
        assert loaded.relation_names == {"P19": "place of birth"}


@pytest.mark.parametrize(
    "name, value",
    [("long_documents", "window"), ("entity_markers", "nope"), ("hide_names", "nope"), ("max_seq_length", -5),
     ("block_size", 0), ("num_prototypes", -1), ("num_neighbours", -3), ("prototype_temperature", 0)],
)  # fmt: skip
def test_settings_that_mean_nothing(name, value):
    config = FineCLConfig.for_labels({"NA": 0, "born in": 1}, **{name: value})
    with pytest.raises(FineCLError, match=name):
        FineCLForRelationExtraction(config)
