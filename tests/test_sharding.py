"""FSDP 2: what is sharded together, and two processes that shard do what two do that do not."""

import os
import subprocess
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM

from finecl_hf import FineCLForRelationExtraction
from finecl_hf.errors import FineCLError
from finecl_hf.masked_lm import load_masked_lm
from finecl_hf.sharding import check_sharding, layer_classes, sharding_layers
from tests.script_runs import ROOT, arguments, launched, weights
from tests.tiny_models import build_bert


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


def launch(words, stage, encoder, corpus, output, **options):
    options = {"warmup_steps": 0, "max_steps": 4, "save_strategy": "steps", "save_steps": 2, **options}
    fsdp = {"FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
            "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT", "FSDP_CPU_RAM_EFFICIENT_LOADING": "false"}  # fmt: skip
    result = subprocess.run(
        [*words, *arguments(stage, encoder, corpus, output, **options)],
        env={**os.environ, **fsdp, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-4000:]
    return weights(output)


def shard(stage, *args, **options):
    return launch([*launched("tests/fsdp_run.py", 2), stage], stage, *args, **options)


def assert_close(found, expected, start):
    """Found weights may have a tied head under more names."""
    assert expected.keys() <= found.keys()
    assert any(not torch.equal(weight, start[name]) for name, weight in expected.items() if name in start)
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage, options",
    [
        ("denoise", {"head_learning_rate": 0.05}),
        ("pretrain", {"contrastive_batch_size": 16, "gradient_checkpointing": "true"}),
        ("finetune", {"use_lora": "true", "lora_dropout": 0}),
    ],
)
def test_shards_are_trained_as_whole_models_are(stage, options, corpus, tmp_path):
    encoder = build_bert(tmp_path / "encoder", dropout=0.0)
    options = {"optim": "sgd", "learning_rate": 2e-2, **options}
    whole = launch(launched(f"run_{stage}.py", 2), stage, encoder, corpus, tmp_path / "whole", **options)
    start = weights(encoder)
    start |= {f"encoder.{name.removeprefix('bert.')}": weight for name, weight in start.items()}
    start |= {name: torch.zeros_like(weight) for name, weight in whole.items() if "lora_B" in name}
    assert_close(shard(stage, encoder, corpus, tmp_path / "shards", **options), whole, start)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["denoise", "pretrain"])
def test_a_sharded_run_resumes_and_leaves_a_plain_model(stage, corpus, tmp_path):
    encoder = build_bert(tmp_path / "encoder", dropout=0.0)
    whole = shard(stage, encoder, corpus, tmp_path / "whole")
    shard(stage, encoder, corpus, tmp_path / "halves", max_steps=2, lr_scheduler_type="constant")
    halves = shard(stage, encoder, corpus, tmp_path / "halves", max_steps=4, lr_scheduler_type="constant")
    uninterrupted = shard(stage, encoder, corpus, tmp_path / "constant", max_steps=4, lr_scheduler_type="constant")
    assert all(torch.equal(halves[name], weight) for name, weight in uninterrupted.items())
    kind = FineCLForRelationExtraction if stage == "denoise" else AutoModelForMaskedLM
    loaded = kind.from_pretrained(tmp_path / "whole").state_dict()
    assert all(torch.equal(loaded[name], weight) for name, weight in whole.items())
    AutoModel.from_pretrained(tmp_path / "whole")


@pytest.mark.slow
def test_shards_in_half_precision(corpus, bert_folder, tmp_path):
    """FSDP casts what layers are called with: the packing must come through it."""
    trained = shard("pretrain", bert_folder, corpus, tmp_path, bf16="true", max_steps=2)
    assert {weight.dtype for weight in trained.values()} == {torch.float32}
    assert all(weight.isfinite().all() for weight in trained.values())
