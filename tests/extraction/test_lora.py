"""LoRA: adapters and head learn, the encoder stays, and the folder loads in both ways."""

import pytest
import torch
from peft import PeftConfig, PeftModel
from transformers import AutoModel

from finecl_hf import FineCLConfig, FineCLForRelationExtraction, load_relation_model
from finecl_hf.encoding.batches import RelationCollator
from finecl_hf.extraction.adapters import add_adapters
from tests.helpers.script_runs import run, trainers_of_scripts, weights


@pytest.fixture(scope="module", params=["bert_folder", "roberta_folder"])
def adapter(request, corpus, tmp_path_factory):
    """Folder of an adapter, the encoder it belongs to, and its trainer."""
    encoder, folder = request.getfixturevalue(request.param), tmp_path_factory.mktemp("adapter")
    with trainers_of_scripts() as built:
        run(
            "finetune", encoder, corpus, folder, "--use_lora", lora_r=4, learning_rate=1e-2,
            validation_file=corpus / "gold_validation.json",
        )  # fmt: skip
    return folder, encoder, built[0]


def logits_of(model, trainer):
    rows = [trainer.train_dataset[i] for i in range(4)]
    batch = RelationCollator(trainer.data_collator.pad_token_id)(rows)
    with torch.no_grad():
        return model.eval()(**batch).logits


def test_the_encoder_stays_while_adapters_and_head_learn(adapter):
    folder, encoder, trainer = adapter
    trained = trainer.model.get_base_model().state_dict()
    for name, weight in AutoModel.from_pretrained(encoder).state_dict().items():
        if "pooler" not in name:  # the encoder's folder has none
            stem, _, last = f"encoder.{name}".rpartition(".")
            kept = trained.get(f"{stem}.base_layer.{last}", trained.get(f"{stem}.{last}"))
            assert torch.equal(weight, kept), name
    adapters = {name: weight for name, weight in trained.items() if "lora_B" in name}
    assert len(adapters) == 2 * 6  # query, key, value, output, and both halves of the MLP, in two layers
    assert all(weight.abs().sum() > 0 for weight in adapters.values())  # they start at 0
    head = "relation_head.{}.weight"
    assert not torch.equal(trained[head.format("original_module")], trained[head.format("modules_to_save.default")])
    assert not any("pooler" in name for name in adapters)


def test_the_folder_loads_with_peft_and_as_a_whole(adapter):
    folder, encoder, trainer = adapter
    expected = logits_of(trainer.model, trainer)

    config = FineCLConfig.from_pretrained(folder)
    assert config.threshold == trainer.relation_model.config.threshold
    base = FineCLForRelationExtraction.from_encoder(encoder, config=config)
    untrained = logits_of(base, trainer)
    adapted = logits_of(PeftModel.from_pretrained(base, folder), trainer)
    merged = load_relation_model(str(folder))

    assert not torch.allclose(untrained, expected, atol=1e-2)
    torch.testing.assert_close(adapted, expected)
    torch.testing.assert_close(logits_of(merged, trainer), expected, atol=1e-4, rtol=1e-4)
    assert type(merged) is FineCLForRelationExtraction
    assert merged.config.threshold == config.threshold
    assert not any("lora" in name for name in merged.state_dict())


def test_the_adapter_is_small_and_names_its_encoder(adapter):
    folder, encoder, trainer = adapter
    assert PeftConfig.from_pretrained(folder).base_model_name_or_path == encoder
    assert not (folder / "model.safetensors").exists()
    assert {name.split(".")[2] for name in weights(folder)} == {"encoder", "relation_head"}
    assert "FineCL" in (folder / "README.md").read_text(encoding="utf-8")


def test_a_merged_model_is_a_plain_one(adapter, tmp_path):
    folder, _, trainer = adapter
    load_relation_model(str(folder)).save_pretrained(tmp_path / "merged")
    again = FineCLForRelationExtraction.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits_of(again, trainer), logits_of(trainer.model, trainer), atol=1e-4, rtol=1e-4)


def test_only_adapters_and_head_are_trainable(bert_folder):
    config = FineCLConfig(label2id={"NA": 0, "r": 1}, id2label={0: "NA", 1: "r"})
    model = add_adapters(FineCLForRelationExtraction.from_encoder(bert_folder, config), r=2)
    trainable = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert all("lora_" in name or "relation_head.modules_to_save" in name for name in trainable)
    assert len([name for name in trainable if "relation_head" in name]) == 5
