"""Which encoder a model was trained on."""

import torch
from transformers import AutoModel

from finecl_hf.extraction.base_encoder import describe_base, weights_digest


def test_the_digest_is_of_all_weights_but_the_pooler(bert_folder):
    encoder = AutoModel.from_pretrained(bert_folder, dtype=torch.float32)
    digest = weights_digest(encoder)
    assert len(digest) == 32 and digest == weights_digest(AutoModel.from_pretrained(bert_folder))
    encoder.pooler.dense.weight.data += 1
    assert weights_digest(encoder) == digest
    encoder.encoder.layer[1].output.dense.bias.data[-1] += 1
    assert weights_digest(encoder) != digest


def test_weights_that_are_elsewhere_have_none(bert_folder):
    assert weights_digest(AutoModel.from_pretrained(bert_folder).to("meta")) is None


def test_folders_are_kept_as_absolute_paths(bert_folder, tmp_path, monkeypatch):
    encoder = AutoModel.from_pretrained(bert_folder)
    (tmp_path / "base").mkdir()
    monkeypatch.chdir(tmp_path)
    assert describe_base("base", "main", encoder)["name_or_path"] == str(tmp_path / "base")
    described = describe_base("user/encoder", "v2", encoder)
    assert (described["name_or_path"], described["revision"]) == ("user/encoder", "v2")
