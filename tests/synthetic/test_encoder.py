"""The small encoder: the same for a seed in any process, loadable, and able to read what it was trained on."""

import subprocess
import sys

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertConfig, ModernBertConfig, RobertaConfig

from finecl_hf.synthetic.encoder import build_small_encoder, train_tokenizer
from tests.helpers.tiny_models import SMALL, TEXT


VOCABULARY = """
from finecl_hf.synthetic.encoder import train_tokenizer
from tests.helpers.tiny_models import TEXT
print(sorted(train_tokenizer(TEXT, 400).get_vocab().items()))
"""


@pytest.mark.slow
def test_tokenizer_is_the_same_in_every_process():
    outputs = {subprocess.check_output([sys.executable, "-c", VOCABULARY]) for _ in range(2)}
    assert len(outputs) == 1


def test_tokenizer_reads_its_text_without_unknown_words():
    tokenizer = train_tokenizer(TEXT, 400, model_max_length=64)
    encoded = tokenizer(TEXT[0].split(), is_split_into_words=True)["input_ids"]
    assert tokenizer.unk_token_id not in encoded
    assert encoded[0] == tokenizer.cls_token_id and encoded[-1] == tokenizer.sep_token_id
    assert tokenizer.decode(encoded[1:-1]).split() == TEXT[0].lower().split()


@pytest.mark.parametrize("make", [BertConfig, RobertaConfig, ModernBertConfig])
def test_encoder_takes_the_longest_input(tmp_path, make):
    tokenizer = train_tokenizer(TEXT, 400, model_max_length=48)
    folder = build_small_encoder(tokenizer, str(tmp_path), make(**SMALL), seed=3)
    ids = torch.full((1, 48), tokenizer.convert_tokens_to_ids("a"))
    encoder = AutoModel.from_pretrained(folder).eval()
    assert encoder(input_ids=ids).last_hidden_state.shape == (1, 48, SMALL["hidden_size"])
    assert len(AutoTokenizer.from_pretrained(folder)) == encoder.config.vocab_size


def test_seed_decides_on_the_weights(tmp_path):
    tokenizer = train_tokenizer(TEXT, 400)

    def weights(name, seed):
        folder = build_small_encoder(tokenizer, str(tmp_path / name), BertConfig(**SMALL), seed)
        return AutoModel.from_pretrained(folder).embeddings.word_embeddings.weight

    assert torch.equal(weights("a", 1), weights("b", 1))
    assert not torch.equal(weights("a", 1), weights("c", 2))
