"""Stage 2 on a stream: the batches of a corpus on disk, in memory that a block bounds."""

import json
import re
from collections import Counter

import pytest

import finecl_hf.streaming
from finecl_hf import read_documents
from finecl_hf.collators import SharedEpoch
from finecl_hf.documents import Document
from finecl_hf.errors import FineCLError
from finecl_hf.features import COLUMNS
from finecl_hf.hashing import text_key
from finecl_hf.learning_order import LearningOrder
from finecl_hf.readers import write_documents
from finecl_hf.stream_weights import StreamWeights
from finecl_hf.streaming import Stream
from tests.script_runs import MAIN, arguments, run, same_weights, weights
from tests.small_documents import small_document
from tests.test_resuming import interrupted
from tests.tiny_models import build_bert


NO_WARMUP = {"warmup_steps": 0, "logging_steps": 1, "streaming": "true"}


def write_shards(documents, folder, *sizes):
    for number, size in enumerate(sizes):
        write_documents(documents[:size], folder / f"silver-{number}.jsonl")
        documents = documents[size:]
    assert not documents
    return folder


@pytest.fixture
def shards(corpus, tmp_path):
    """The 14 documents of the corpus in three files."""
    return write_shards(read_documents(corpus / "silver.json"), tmp_path / "shards", 4, 5, 5)


def encode(documents):
    """Features of nothing but the key, which tells documents apart."""
    lists = {name: [[] for _ in documents] for name in COLUMNS}
    numbers = ("num_entities", "lost_mentions", "lost_entities", "lost_facts")
    return {
        **lists,
        **{name: [0] * len(documents) for name in numbers},
        "all_pairs": [True] * len(documents),
        "key": [text_key(document.title) for document in documents],
    }


def stream(folder, batch_size=3, block=6, encode=encode, **others):
    files = [folder] if folder.is_file() else sorted(folder.iterdir())
    settings = {"weights": StreamWeights(), "label2id": {"NA": 0, "r": 1}, "pair_documents": False, **others}
    return Stream(files, encode, batch_size=batch_size, block=block, **settings)


def numbered(count, folder, *sizes):
    return write_shards([small_document(f"d{i}", ["a", "b"], [(0, 1, "r")]) for i in range(count)], folder, *sizes)


def keys(stream, *numbers):
    places = [[(number, row) for row in range(stream.batch_size)] for number in numbers]
    return [[int(row["key"]) for row in stream.__getitems__(place)] for place in places]


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2}, {"dataloader_num_workers": 1}])
def test_one_block_gives_the_run_of_a_corpus_on_disk(options, corpus, shards, order_file, tmp_path):
    """Three passes of 4 batches. Without dropout, whose state a data loader changes whenever an epoch begins."""
    encoder = build_bert(tmp_path / "encoder", dropout=0.0)
    options = {**NO_WARMUP, "learning_order": order_file, "max_steps": 5, **options}
    run("pretrain", encoder, corpus, tmp_path / "disk", **{**options, "streaming": "false"})
    run("pretrain", encoder, corpus, tmp_path / "stream", train_file=shards, **options)
    logs = [json.loads((tmp_path / name / "trainer_state.json").read_text()) for name in ("disk", "stream")]
    losses = [[entry["loss_rd"] for entry in log["log_history"] if "loss_rd" in entry] for log in logs]
    assert losses[0] == losses[1] and len(set(losses[0])) == 5
    assert same_weights(weights(tmp_path / "disk"), weights(tmp_path / "stream"))


@pytest.mark.parametrize("block, step", [(4, 3), (4, 6), (100, 5)])
def test_a_streamed_run_resumes_exactly(block, step, bert_folder, corpus, shards, order_file, tmp_path, monkeypatch):
    options = {**NO_WARMUP, "learning_order": order_file, "max_steps": 8, "save_steps": 1, "streaming_block": block}
    options["train_file"] = shards
    run("pretrain", bert_folder, corpus, tmp_path / "whole", **options)
    interrupted(monkeypatch, step, "kill", "pretrain", bert_folder, corpus, tmp_path / "resumed", **options)
    assert same_weights(weights(tmp_path / "whole"), weights(tmp_path / "resumed"))
    with (shards / "silver-1.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(FineCLError, match="belongs to another run: the streamed files changed"):
        run("pretrain", bert_folder, corpus, tmp_path / "resumed", **options)
