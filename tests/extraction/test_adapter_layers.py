"""Which layers get adapters, in the encoders that people use; DoRA and rsLoRA; what merging changes (nothing)."""

import json

import pytest
import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import AutoConfig, AutoModel

from finecl_hf import FineCLConfig, FineCLForRelationExtraction
from finecl_hf.encoding.batches import RelationCollator
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.adapters import add_adapters
from finecl_hf.extraction.arguments import FinetuneArguments


LABELS = {"NA": 0, "born in": 1, "located in": 2, "capital of": 3, "died in": 4}
SMALL = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 48, "max_position_embeddings": 128}  # fmt: skip
ENCODERS = {
    "bert": SMALL,
    "roberta": {**SMALL, "type_vocab_size": 1},
    "distilbert": {"vocab_size": 400, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
    "albert": {**SMALL, "embedding_size": 16},
    "electra": {**SMALL, "embedding_size": 16},
    "modernbert": {**SMALL, "global_attn_every_n_layers": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
                   "cls_token_id": 1, "sep_token_id": 2},
    "deberta-v2": {**SMALL, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "pooler_hidden_size": 32},
    "mpnet": SMALL,
}  # fmt: skip


@pytest.fixture
def batch(bert_tokenizer, ada, curie):
    columns = DocumentEncoder(bert_tokenizer, LABELS, 128).encode([ada, curie])
    rows = [{name: values[i] for name, values in columns.items()} for i in range(2)]
    return dict(RelationCollator(bert_tokenizer.pad_token_id)(rows))


def relation_model(architecture, **settings):
    torch.manual_seed(0)
    text_config = AutoConfig.for_model(architecture, **ENCODERS[architecture])
    config = FineCLConfig.for_labels(LABELS, text_config=text_config, **settings)
    return FineCLForRelationExtraction(config, AutoModel.from_config(text_config))


def linear_layers(encoder):
    names = [name for name, layer in encoder.named_modules() if isinstance(layer, nn.Linear)]
    return {name for name in names if "pooler" not in name}


def shaken(model):
    """With adapters that have an effect."""
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=0.05)
    return model.eval()


def logits(model, batch):
    with torch.no_grad():
        return model(**batch).logits


@pytest.mark.parametrize("architecture", ENCODERS)
def test_every_linear_layer_that_takes_part_learns(architecture, batch, recwarn):
    model = relation_model(architecture)
    expected, plain = linear_layers(model.encoder), logits(model.eval(), batch)
    assert len(expected) >= 6
    adapted = add_adapters(model, r=2)
    assert not [warning for warning in recwarn if "exclude_modules" in str(warning.message)]
    found = {name for name, layer in model.encoder.named_modules() if isinstance(layer, BaseTunerLayer)}
    assert found == expected
    shaken(adapted)(**batch).loss.backward()
    without = [name for name, weight in adapted.named_parameters() if weight.requires_grad and weight.grad is None]
    assert not without  # DDP and FSDP take them for a mistake
    before = logits(adapted, batch)
    assert not torch.allclose(before, plain, atol=1e-3)
    torch.testing.assert_close(logits(adapted.merge_and_unload(), batch), before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", [{"use_dora": True}, {"use_rslora": True}, {"target_modules": ["query", "value"]}])
def test_peft_s_own_options(options, batch, tmp_path):
    args = FinetuneArguments(output_dir=str(tmp_path), use_lora=True, lora_r=4, lora_config=json.dumps(options))
    adapted = add_adapters(relation_model("bert"), **args.lora_options())
    (config,) = adapted.peft_config.values()
    assert all(getattr(config, name) == set(value) if isinstance(value, list) else value
               for name, value in options.items()) and config.r == 4 and config.modules_to_save  # fmt: skip
    count = sum("lora_A" in name for name, _ in adapted.named_parameters())
    assert count == (4 if "target_modules" in options else 12)
    before = logits(shaken(adapted), batch)
    torch.testing.assert_close(logits(adapted.merge_and_unload(), batch), before, atol=1e-5, rtol=1e-5)


def test_the_flags_are_peft_s_options_and_a_file_counts_more(tmp_path):
    (tmp_path / "lora.json").write_text('{"r": 3, "lora_alpha": 6, "use_rslora": false}')
    args = FinetuneArguments(output_dir=str(tmp_path), use_lora=True, use_dora=True, use_rslora=True,
                             lora_config=str(tmp_path / "lora.json"))  # fmt: skip
    adapted = add_adapters(relation_model("bert"), **args.lora_options())
    config = adapted.peft_config["default"]
    assert (config.r, config.lora_alpha, config.use_dora, config.use_rslora) == (3, 6, True, False)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"lora_config": "{"}, "no JSON"),
        ({"lora_config": "nosuch.json"}, "lora_config nosuch.json: there is no such file"),
        ({"lora_config": '{"rank_pattern": []}'}, "peft refuses"),
        ({"lora_config": '{"runtime_config": {}}'}, "peft refuses"),
        ({"lora_config": '{"trainable_token_indices": [100000]}'}, "peft refuses.*100000"),
        ({"lora_config": '{"modules_to_save": ["embeddings"]}'}, "peft refuses.*embeddings"),  # it saves them in part
        ({"lora_config": '{"inference_mode": true}'}, "nothing to train"),
        ({"lora_config": '{"alora_invocation_tokens": [1]}'}, "alora"),
        ({"lora_config": "{}", "use_dora": True, "use_lora": False}, "use_lora"),
        ({"lora_config": '{"rank": 3}'}, "peft refuses.*rank"),
        ({"lora_config": '{"target_modules": ["nosuch"]}'}, "peft refuses.*No modules"),
        ({"lora_config": '{"target_modules": "(a+)+"}'}, "pattern"),
        ({"lora_config": '{"r": 0}'}, "peft refuses.*r"),
    ],
)
def test_options_that_are_wrong_are_said(options, word, tmp_path):
    with pytest.raises(FineCLError, match=word):
        args = FinetuneArguments(**{"output_dir": str(tmp_path), "use_lora": True} | options)
        add_adapters(relation_model("bert"), **args.lora_options())


def test_the_learning_rate_is_one_for_adapters_where_none_is_given(tmp_path):
    rates = [
        FinetuneArguments(output_dir=str(tmp_path), **options).learning_rate
        for options in ({}, {"use_lora": True}, {"use_lora": True, "learning_rate": 3e-4}, {"learning_rate": 1e-5})
    ]
    assert rates == [5e-5, 1e-3, 3e-4, 1e-5]


def test_at_the_size_of_minilm_adapters_are_small(batch):
    """3 % of the encoder at most, 5 MB at most, the head apart."""
    size = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    with torch.device("meta"):
        encoder = AutoModel.from_config(AutoConfig.for_model("bert", **size))
        config = FineCLConfig.for_labels(LABELS, text_config=encoder.config)
        model = FineCLForRelationExtraction(config, encoder)
    weights = sum(weight.numel() for weight in encoder.parameters())
    adapted = add_adapters(model)
    learning = sum(weight.numel() for name, weight in adapted.named_parameters() if "lora_" in name)
    assert learning / weights <= 0.03 and learning * 4 <= 5e6
    assert isinstance(adapted.peft_config["default"], LoraConfig)
