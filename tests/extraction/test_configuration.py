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
     ("block_size", 0), ("num_prototypes", -1), ("num_neighbours", -3), ("prototype_temperature", 0),
     ("num_prototypes", 90_000_000), ("mixed_layers", 0), ("mixed_layers", "4"), ("mixed_layers", None),
     ("mixed_layers", True), ("head_size", 0), ("type_size", 0), ("entity_types", "abc"), ("entity_types", 5),
     ("entity_types", [1]), ("head", [1]), ("head", {}), ("loss", {}), ("task", "nope"), ("task", None),
     ("threshold", "x"), ("threshold", None), ("threshold", float("nan")), ("temperature", 0), ("temperature", "a"),
     ("score_bias", None), ("relation_thresholds", {"zz": 1}), ("relation_thresholds", [1]),
     ("relation_thresholds", "x"), ("relation_thresholds", {"NA": "x"}), ("type_constraints", {"zz": [["A", "B"]]}),
     ("label_priors", {"zz": [0.1, 0.2]}), ("label_priors", [1]), ("label_priors", {"born in": 3}),
     ("label_priors", {"born in": [0.2, 0.1]}), ("label_priors", {"born in": [0, 0.1]}),
     ("label_priors", {"born in": [0.1, 2]}), ("label_priors", {"born in": [0.1, "x"]}),
     ("type_constraints", [1]), ("type_constraints", {"NA": "x"}), ("type_constraints", {"NA": [["A", 1]]}),
     ("relation_names", "x"), ("head_dropout", 2), ("head_dropout", "a"),
     ("evidence_weight", "a"), ("base_encoder", "x")],
)  # fmt: skip
def test_settings_that_mean_nothing(name, value):
    config = FineCLConfig.for_labels({"NA": 0, "born in": 1}, text_config=BertConfig(hidden_size=8), **{name: value})
    told = "threshold of NA" if value == {"NA": "x"} and "thresholds" in name else name
    with pytest.raises(FineCLError, match=told):
        FineCLForRelationExtraction(config)


def test_positive_unlabelled_losses_need_priors():
    config = FineCLConfig.for_labels({"NA": 0, "a": 1}, text_config=BertConfig(hidden_size=8), loss="pu_bce")
    with pytest.raises(FineCLError, match="label_priors="):
        FineCLForRelationExtraction(config)


@pytest.mark.parametrize(
    "label2id, id2label",
    [(None, None), ("x", None), ([1], None), ({"NA": 0, "a": 0}, None), ({"NA": 0, "a": "1"}, None),
     ({"NA": 0}, {0: "b"}), ({"NA": 0, "a": 2}, {0: "NA", 2: "a"})],
)  # fmt: skip
def test_label_sets_that_do_not_hang_together(label2id, id2label):
    config = FineCLConfig.for_labels({"NA": 0, "a": 1}, text_config=BertConfig(hidden_size=8))
    config.label2id = label2id
    if id2label is not None:
        config.id2label = id2label
    with pytest.raises(FineCLError, match="label"):
        FineCLForRelationExtraction(config)
