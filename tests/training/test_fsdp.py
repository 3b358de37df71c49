"""FSDP 2: what is sharded together, and two processes that shard do what one does."""

import os
import shutil
import subprocess
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM

from finecl_hf import FineCLForRelationExtraction
from finecl_hf.errors import FineCLError
from finecl_hf.pretraining.masked_lm import load_masked_lm
from finecl_hf.training.fsdp import check_sharding, layer_classes, sharding_layers
from tests.helpers.script_runs import ROOT, arguments, launched, run, same_weights, weights
from tests.helpers.tiny_models import build_bert


def accelerator(**plugin):
    plugin = {"fsdp_version": 2, "state_dict_type": "StateDictType.FULL_STATE_DICT", **plugin}
    plugin.setdefault("transformer_cls_names_to_wrap", None)
    return SimpleNamespace(state=SimpleNamespace(fsdp_plugin=SimpleNamespace(**plugin)))


@pytest.mark.parametrize("encoder, layer", [("bert", "BertLayer"), ("roberta", "RobertaLayer")])
def test_layers_are_groups_and_the_rest_is_one(encoder, layer, request):
    model = load_masked_lm(request.getfixturevalue(f"{encoder}_folder"))[0]
    assert layer_classes(model) == [layer]
    wanted = accelerator()
    with sharding_layers(wanted, model):
        assert model.get_input_embeddings() is None and model.get_output_embeddings() is None
    assert wanted.state.fsdp_plugin.transformer_cls_names_to_wrap == [layer]
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight


def test_layers_that_the_user_names_stay(bert_folder):
    named = accelerator(transformer_cls_names_to_wrap=["BertAttention"])
    with sharding_layers(named, load_masked_lm(bert_folder)[0]):
        assert named.state.fsdp_plugin.transformer_cls_names_to_wrap == ["BertAttention"]


def test_without_fsdp_nothing_is_touched(bert_folder):
    model = load_masked_lm(bert_folder)[0]
    none = SimpleNamespace(state=SimpleNamespace())
    check_sharding(none)
    with sharding_layers(none, model):
        assert model.get_output_embeddings() is not None


def test_refuses_what_leaves_no_plain_model():
    check_sharding(accelerator())
    with pytest.raises(FineCLError, match="set `fsdp_version: 2`"):
        check_sharding(accelerator(fsdp_version=1))
    with pytest.raises(FineCLError, match="set `fsdp_state_dict_type: FULL_STATE_DICT`"):
        check_sharding(accelerator(state_dict_type="StateDictType.SHARDED_STATE_DICT"))


# Two processes ----------------------------------------------------------------------------------------------------


def shard(stage, encoder, corpus, output, **options):
    """Runs a script in two processes that shard its model."""
    fsdp = {"FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
            "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT", "FSDP_CPU_RAM_EFFICIENT_LOADING": "false"}  # fmt: skip
    result = subprocess.run(
        [*launched("tests/helpers/fsdp_run.py", 2), stage, *arguments(stage, encoder, corpus, output, **options)],
        env={**os.environ, **fsdp, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-4000:]
    return weights(output)


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage, options",
    [
        ("denoise", {"head_learning_rate": 0.05}),
        ("pretrain", {"contrastive_batch_size": 8, "gradient_checkpointing": "true"}),
        ("finetune", {"use_lora": "true", "lora_dropout": 0, "head_dropout": 0}),
    ],
)
def test_two_processes_that_shard_do_what_one_does(stage, options, corpus, tmp_path):
    """A step of two processes is one of one process that accumulates two batches, or contrasts as many documents."""
    encoder = build_bert(tmp_path / "encoder", dropout=0.0)
    options = {"optim": "sgd", "learning_rate": 2e-2, "warmup_steps": 0, "max_steps": 3, "max_train_samples": 12,
               "per_device_train_batch_size": 2, "save_strategy": "no", **options}  # fmt: skip
    found = shard(stage, encoder, corpus, tmp_path / "shards", **options)
    if stage != "pretrain":
        options["gradient_accumulation_steps"] = 2
    run(stage, encoder, corpus, tmp_path / "one", **options)
    expected = weights(tmp_path / "one")
    assert expected.keys() <= found.keys()  # a tied head is saved under all its names
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-3, atol=2e-6, msg=name)
    if stage == "pretrain":
        loaded = AutoModelForMaskedLM.from_pretrained(tmp_path / "shards").state_dict()
        assert all(torch.equal(loaded[name], weight) for name, weight in found.items())
        assert not torch.equal(loaded["bert.embeddings.LayerNorm.bias"], torch.zeros(32))
        AutoModel.from_pretrained(tmp_path / "shards")


@pytest.mark.slow
def test_a_sharded_run_resumes_and_leaves_a_plain_model(bert_folder, corpus, tmp_path):
    """Its encoder has a pooler that nothing trains: no optimizer state is missed."""
    options = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "bf16": "true"}
    whole = shard("denoise", bert_folder, corpus, tmp_path / "whole", **options)
    shutil.copytree(tmp_path / "whole" / "checkpoint-2", tmp_path / "half" / "checkpoint-2")
    assert same_weights(shard("denoise", bert_folder, corpus, tmp_path / "half", **options), whole)
    loaded = FineCLForRelationExtraction.from_pretrained(tmp_path / "half").state_dict()
    assert same_weights(loaded, whole)
    assert {weight.dtype for weight in whole.values()} == {torch.float32}
