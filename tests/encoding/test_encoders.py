"""Attention dropout is set for any architecture, and for nothing but the run."""

import io
import sys

import datasets
import pytest
from transformers import AutoConfig, DistilBertConfig, ModernBertConfig

from finecl_hf.encoding.encoders import keep_bars_out_of_logs, loading_options
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.modeling import FineCLForRelationExtraction
from finecl_hf.pretraining.masked_lm import load_masked_lm


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_bars_are_drawn_on_terminals_alone(is_terminal, monkeypatch):
    stderr = io.StringIO()
    stderr.isatty = lambda: is_terminal
    monkeypatch.setattr(sys, "stderr", stderr)
    datasets.enable_progress_bars()
    keep_bars_out_of_logs()
    assert datasets.are_progress_bars_disabled() != is_terminal


@pytest.mark.parametrize("config_class", [DistilBertConfig, ModernBertConfig])
def test_other_names_of_the_setting(config_class, tmp_path):
    config_class().save_pretrained(tmp_path)
    options = loading_options(str(tmp_path), 0.25, revision="main")
    assert options["revision"] == "main" and options["config"].attention_dropout == 0.25


def test_none_changes_nothing_but_that_code_is_not_run(bert_folder):
    assert loading_options(bert_folder, revision="main") == {"revision": "main", "trust_remote_code": False}


def test_models_are_built_with_it(bert_folder):
    config = FineCLConfig.for_labels({"NA": 0, "r": 1})
    model = FineCLForRelationExtraction.from_encoder(bert_folder, config, attention_dropout=0.0)
    masked_lm, has_head = load_masked_lm(bert_folder, attention_dropout=0.0)
    assert has_head
    for encoder in (model.encoder, masked_lm.base_model):
        assert encoder.encoder.layer[0].attention.self.dropout.p == 0.0
        assert encoder.encoder.layer[0].output.dropout.p == 0.1
    assert AutoConfig.from_pretrained(bert_folder).attention_probs_dropout_prob == 0.1


def test_no_encoder_there(tmp_path):
    with pytest.raises(FineCLError, match="cannot be loaded"):
        loading_options(str(tmp_path), 0.0)
