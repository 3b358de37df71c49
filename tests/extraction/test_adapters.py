"""Configurations of adapters, which may come from anybody."""

import json
import time

import pytest

from finecl_hf import FineCLConfig, FineCLForRelationExtraction
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.adapters import add_adapters, read_adapter_config


@pytest.fixture
def folder(bert_folder, tmp_path):
    config = FineCLConfig.for_labels({"NA": 0, "P1": 1})
    model = FineCLForRelationExtraction.from_encoder(bert_folder, config, revision="v2")
    add_adapters(model, r=2).save_pretrained(tmp_path)
    return tmp_path


def test_the_configuration_names_the_encoder_and_its_revision(folder, bert_folder):
    config = read_adapter_config(str(folder))
    assert (config.base_model_name_or_path, config.revision) == (bert_folder, "v2")


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("exclude_modules", "(a+)+$", "pattern"),
        ("exclude_modules", "(.|.)*x", "pattern"),
        ("exclude_modules", ".*.*.*.*.*.*.*.*x", "pattern"),
        ("target_modules", "(\\w+)*!", "pattern"),
        ("target_modules", [["nested"]], "cannot be read"),
        ("rank_pattern", {"(a|a)*b": 4}, "pattern"),
        ("alpha_pattern", {"(x+x+)+y": 4}, "pattern"),
        ("peft_type", "IA3", "only LoRA"),
        ("peft_type", "NOSUCH", "cannot be read"),
        ("peft_type", None, "adapter"),
    ],
)
def test_what_no_run_writes_is_refused(folder, key, value, word):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    began = time.monotonic()
    with pytest.raises(FineCLError, match=word):
        read_adapter_config(str(folder))
    assert time.monotonic() - began < 10  # no pattern was tried


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", "nothing", '"text"', "[" * 100_000])
def test_what_is_no_configuration_is_refused(folder, text):
    (folder / "adapter_config.json").write_text(text)
    with pytest.raises(FineCLError, match="cannot be read"):
        read_adapter_config(str(folder))
