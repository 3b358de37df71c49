"""Adapters of several tasks on one encoder: each with its head and configuration, by the library's own calls."""

import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from finecl_hf import (
    FineCLConfig,
    FineCLForRelationExtraction,
    FinetuneTrainer,
    RelationExtractionPipeline,
    load_relation_model,
)
from finecl_hf.encoding.batches import RelationCollator
from finecl_hf.encoding.encoders import load_tokenizer
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.adapters import add_adapters
from finecl_hf.extraction.arguments import FinetuneArguments
from finecl_hf.extraction.base_encoder import weights_digest


LABELS = {"NA": 0, "born in": 1, "located in": 2, "capital of": 3, "died in": 4}


def config_a():
    return FineCLConfig.for_labels({"NA": 0, "P1": 1, "P2": 2}, threshold=-5.0, relation_names={"P1": "born in"})


def config_b():
    """Another label set, task, head, loss and length."""
    labels = {"NA": 0, "x": 1, "y": 2, "z": 3, "u": 4}
    return FineCLConfig.for_labels(labels, task="sentence", head="atlop", loss="softmax", max_seq_length=64)


def shake(model):
    """Gives the active adapter and its head weights that matter; adapters start at no effect."""
    torch.manual_seed(sum(map(len, model.config.label2id)))
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data.normal_(std=0.05)
    return model.eval()


@pytest.fixture
def batch(bert_tokenizer, ada, curie):
    encoder = DocumentEncoder(
        bert_tokenizer, {"NA": 0, "born in": 1, "located in": 2, "capital of": 3, "died in": 4}, 96
    )
    columns = encoder.encode([ada, curie])
    rows = [{name: values[i] for name, values in columns.items()} for i in range(2)]
    made = RelationCollator(bert_tokenizer.pad_token_id)(rows)
    return {name: value for name, value in made.items() if not name.startswith("label_")}


def logits(model, batch):
    with torch.no_grad():
        return model(**batch).logits


@pytest.fixture
def plain(bert_folder):
    return FineCLForRelationExtraction.from_encoder(bert_folder, config_a()).eval()


@pytest.fixture
def two(plain):
    """One encoder with the adapters `a` and `b`; `b` is active."""
    plain.add_adapter(LoraConfig(r=2), "a")
    shake(plain)
    plain.add_adapter(LoraConfig(r=4), "b", config=config_b())
    return shake(plain)


@pytest.fixture
def folders(two, tmp_path, bert_folder):
    for name in "ab":
        two.set_adapter(name)
        two.save_pretrained(tmp_path / name)
        load_tokenizer(bert_folder).save_pretrained(tmp_path / name)
    return tmp_path


def test_each_adapter_has_its_head_and_configuration(two, batch, bert_folder):
    assert two.active_adapters() == ["b"] and two.config.task == "sentence" and logits(two, batch).shape[1] == 5
    of_b = logits(two, batch)
    two.set_adapter("a")
    assert two.config.label2id == {"NA": 0, "P1": 1, "P2": 2} and two.config.threshold == -5.0
    of_a = logits(two, batch)
    assert of_a.shape[1] == 3
    two.set_adapter("b")
    assert torch.equal(logits(two, batch), of_b)
    alone = FineCLForRelationExtraction.from_encoder(bert_folder, config_a())
    alone.add_adapter(LoraConfig(r=2))
    torch.testing.assert_close(logits(shake(alone), batch), of_a)


def test_only_the_active_adapter_and_its_head_learn(two):
    for name in "bab":
        if name not in two.active_adapters():
            two.set_adapter(name)
        learning = [key for key, weight in two.named_parameters() if weight.requires_grad]
        assert learning and all(f".{name}." in key for key in learning)
        assert any("relation_head.modules_to_save" in key for key in learning)
        assert not any("pooler" in key for key in learning)


def test_without_adapters_the_model_is_what_it_was(plain, batch):
    before, weights = logits(plain, batch), {name: weight.clone() for name, weight in plain.state_dict().items()}
    own, learning = plain.config, {name for name, weight in plain.named_parameters() if weight.requires_grad}
    plain.add_adapter(LoraConfig(r=2), "b", config=config_b())
    shake(plain)
    plain.disable_adapters()
    assert plain.config is own and torch.equal(logits(plain, batch), before)
    plain.enable_adapters()
    assert plain.config.task == "sentence" and logits(plain, batch).shape[1] == 5
    plain.add_adapter(LoraConfig(r=2), "a", config=config_a())
    plain.delete_adapter("a")
    assert plain.active_adapters() == ["b"] and plain.config.task == "sentence"
    plain.delete_adapter("b")
    assert plain.config is own and torch.equal(logits(plain, batch), before)
    after = plain.state_dict()
    assert after.keys() == weights.keys() and all(torch.equal(weight, after[name]) for name, weight in weights.items())
    assert {name for name, weight in plain.named_parameters() if weight.requires_grad} == learning


def test_saved_adapters_are_loaded_beside_each_other(folders, two, batch, bert_folder):
    expected = {}
    for name in "ab":
        two.set_adapter(name)
        expected[name] = logits(two, batch)
    model = FineCLForRelationExtraction.from_pretrained(folders / "a")
    model.load_adapter(folders / "b", adapter_name="b")
    assert model.active_adapters() == ["b"] and torch.equal(logits(model, batch), expected["b"])
    assert not any(weight.requires_grad for weight in model.parameters())
    model.set_adapter("default")
    assert torch.equal(logits(model, batch), expected["a"]) and model.config.threshold == -5.0
    for name, config in (("a", config_a()), ("b", config_b())):
        base = FineCLForRelationExtraction.from_encoder(bert_folder, config)
        torch.testing.assert_close(
            logits(PeftModel.from_pretrained(base, folders / name).eval(), batch), expected[name]
        )
        merged = load_relation_model(folders / name).eval()
        torch.testing.assert_close(logits(merged, batch), expected[name], atol=1e-5, rtol=1e-5)


def test_adapters_of_dora_are_loaded(plain, batch, bert_folder, tmp_path):
    plain.add_adapter(LoraConfig(r=2, use_dora=True))
    shake(plain)
    plain.save_pretrained(tmp_path / "dora")
    model = FineCLForRelationExtraction.from_pretrained(tmp_path / "dora").eval()
    assert torch.equal(logits(model, batch), logits(plain, batch))
    merged = load_relation_model(tmp_path / "dora").eval()
    torch.testing.assert_close(logits(merged, batch), logits(plain, batch), atol=1e-5, rtol=1e-5)
    weights = load_file(tmp_path / "dora" / "adapter_model.safetensors")
    save_file(
        {name: w for name, w in weights.items() if "magnitude" not in name},
        tmp_path / "dora" / "adapter_model.safetensors",
    )
    with pytest.raises(FineCLError, match="lacks 12 weights"):
        FineCLForRelationExtraction.from_pretrained(tmp_path / "dora")


def test_switching_is_fast(two):
    began = time.perf_counter()
    for name in "ab" * 10:
        two.set_adapter(name)
    assert (time.perf_counter() - began) / 20 < 0.05


def test_pipelines_follow_the_active_adapter(folders, ada):
    extract = RelationExtractionPipeline.from_pretrained(folders / "a", merge=False)
    first = extract(ada)
    assert {triple["relation"] for triple in first} <= {"P1", "P2"} and first
    extract.model.load_adapter(folders / "b", adapter_name="b")
    found = extract(ada, threshold=-1e4)
    assert found and {triple["relation"] for triple in found} <= {"x", "y", "z", "u"}
    assert extract.encoder.max_length == 64
    extract.model.set_adapter("default")
    assert extract(ada) == first and first[0]["name"] in {"born in", "P2"}


def test_an_adapter_of_another_encoder_is_refused(folders, roberta_folder, bert_folder, batch, tmp_path):
    other = AutoModel.from_pretrained(bert_folder)
    other.embeddings.word_embeddings.weight.data += 0.5
    other.save_pretrained(tmp_path / "other")
    model = FineCLForRelationExtraction.from_encoder(str(tmp_path / "other"), config_a())
    before = logits(model.eval(), batch)
    with pytest.raises(FineCLError, match="trained on.*other weights.*check_base"):
        model.load_adapter(folders / "b")
    assert torch.equal(logits(model, batch), before) and model.config.task == "document"
    model.load_adapter(folders / "b", check_base=False)
    assert model.config.task == "sentence" and logits(model, batch).shape[1] == 5
    model = FineCLForRelationExtraction.from_encoder(roberta_folder, config_a())
    names = model.state_dict().keys()
    with pytest.raises(FineCLError, match="trained on"):
        model.load_adapter(folders / "a")
    assert model.state_dict().keys() == names


def test_a_damaged_adapter_leaves_the_model_as_it_was(folders, two, bert_folder, batch):
    (folders / "a" / "adapter_model.safetensors").write_bytes(b"nothing")
    for model in (two, FineCLForRelationExtraction.from_encoder(bert_folder, config_a()).eval()):
        before, names, config = logits(model, batch), model.state_dict().keys(), model.config
        with pytest.raises(FineCLError):
            model.load_adapter(folders / "a")
        assert model.state_dict().keys() == names and torch.equal(logits(model, batch), before)
        assert model.config is config


def test_weights_that_are_missing_are_said(folders, plain, caplog):
    path = folders / "a" / "adapter_model.safetensors"
    weights = load_file(path)
    for part in ("relation_head.bias", "lora_A"):
        save_file({name: weight for name, weight in weights.items() if part not in name}, path)
        with pytest.raises(FineCLError, match="lacks"):
            plain.load_adapter(folders / "a", adapter_name="e")
    assert set(plain.peft_config) == {"a", "b"}
    save_file(weights, path)
    plain.load_adapter(folders / "a", adapter_name="e")  # a letter of "encoder"
    assert "MISSING" not in caplog.text


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda model: model.set_adapter("nosuch"), "a, b"),
        (lambda model: model.set_adapter(["a", "b"]), "one"),
        (lambda model: model.add_adapter(adapter_name="a"), "already"),
        (lambda model: model.load_adapter("nosuch/folder/here"), "no such folder"),
    ],
)
def test_what_cannot_be_done_is_said(two, call, word):
    with pytest.raises(FineCLError, match=word):
        call(two)


def test_a_whole_model_is_no_adapter(two, bert_folder):
    with pytest.raises(FineCLError, match="holds no adapter.*--use_lora"):
        two.load_adapter(bert_folder, adapter_name="c")


def test_an_adapter_on_an_adapter(folders, batch, tmp_path):
    """The folder of the first is the base of the second, merged; where it moved, base_model says where it lies."""
    model = load_relation_model(folders / "a")
    adapted = FineCLForRelationExtraction.from_encoder(str(folders / "a"), config_b())
    assert weights_digest(adapted.encoder) == weights_digest(model.encoder)
    adapted = add_adapters(adapted, r=2)
    shake(adapted.get_base_model())
    adapted.save_pretrained(tmp_path / "second")
    adapted.get_base_model().config.save_pretrained(tmp_path / "second")
    expected = logits(adapted.eval(), batch)
    assert not torch.allclose(logits(model.eval(), batch)[:, 0], expected[:, 0], atol=1e-2)
    torch.testing.assert_close(
        logits(load_relation_model(tmp_path / "second").eval(), batch), expected, atol=1e-4, rtol=1e-4
    )
    shutil.move(folders / "a", tmp_path / "moved")
    with pytest.raises(FineCLError, match="base_model"):
        load_relation_model(tmp_path / "second", merge=False)
    found = load_relation_model(tmp_path / "second", base_model=str(tmp_path / "moved"), merge=False)
    torch.testing.assert_close(logits(found.eval(), batch), expected, atol=1e-5, rtol=1e-5)
    base = json.loads(Path(tmp_path, "second", "adapter_config.json").read_text())["base_model_name_or_path"]
    assert base == str(folders / "a")


def test_an_adapter_on_a_trained_model_names_that_model(plain, tmp_path, batch):
    for weight in plain.parameters():
        weight.data += 0.01
    plain.save_pretrained(tmp_path / "trained")
    model = FineCLForRelationExtraction.from_pretrained(tmp_path / "trained")
    model.add_adapter(LoraConfig(r=2))
    shake(model).save_pretrained(tmp_path / "adapter")
    assert model.peft_config["default"].base_model_name_or_path == str(tmp_path / "trained")
    again = FineCLForRelationExtraction.from_pretrained(tmp_path / "adapter")
    assert torch.equal(logits(again.eval(), batch), logits(model, batch))


def test_the_trainer_trains_the_active_adapter_and_saves_it(two, bert_tokenizer, ada, curie, tmp_path, batch):
    documents, config = [ada, curie], FineCLConfig.for_labels(LABELS)
    two.add_adapter(LoraConfig(r=2), "c", config=config)
    encoder = DocumentEncoder(bert_tokenizer, LABELS, 96)
    columns = encoder.encode(documents)
    rows = [{name: values[i] for name, values in columns.items()} for i in range(2)]
    options = {"max_steps": 2, "use_cpu": True, "learning_rate": 1e-2, "disable_tqdm": True}
    collator = RelationCollator(bert_tokenizer.pad_token_id)
    before = {name: weight.clone() for name, weight in two.named_parameters()}
    args = FinetuneArguments(str(tmp_path / "run"), **options)
    trainer = FinetuneTrainer(two, args, train_dataset=rows, data_collator=collator, processing_class=bert_tokenizer)
    trainer.train()
    changed = {name for name, weight in two.named_parameters() if not torch.equal(weight, before[name])}
    assert changed and all(".c." in name for name in changed)
    trainer.save_model()
    again = FineCLForRelationExtraction.from_pretrained(tmp_path / "run")
    assert torch.equal(logits(again.eval(), batch), logits(two.eval(), batch))
    args = FinetuneArguments(str(tmp_path / "run"), eval_strategy="steps", save_strategy="steps",
                             load_best_model_at_end=True, **options)  # fmt: skip
    with pytest.raises(FineCLError, match="load_best_model_at_end.*add_adapters"):
        FinetuneTrainer(two, args, train_dataset=rows, eval_dataset=rows, data_collator=collator,
                        processing_class=bert_tokenizer)  # fmt: skip
