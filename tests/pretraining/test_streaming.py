"""Stage 2 on a stream: the batches of a corpus on disk, in memory that a block bounds."""

import json
import re
from collections import Counter
from types import SimpleNamespace

import pytest

import finecl_hf.pretraining.streaming
from finecl_hf import read_documents
from finecl_hf.data.readers import write_documents
from finecl_hf.encoding.batches import SharedEpoch
from finecl_hf.encoding.feature_table import COLUMNS
from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order.weights import FactWeights
from finecl_hf.pretraining.streaming import Stream
from tests.helpers.script_runs import MAIN, arguments, run, same_weights, weights
from tests.helpers.small_documents import small_document
from tests.helpers.tiny_models import build_bert
from tests.training.test_checkpoints import interrupted
from tests.training.test_distributed import launch


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
    encoder = SimpleNamespace(encode=encode, label2id={"NA": 0, "r": 1})
    settings = {"weights": FactWeights(), "pair_documents": False, **others}
    return Stream(files, encoder, batch_size=batch_size, block=block, **settings)


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


@pytest.mark.parametrize(
    "block, step",
    [
        (4, 3),
        pytest.param(4, 6, marks=pytest.mark.slow),
        pytest.param(100, 5, marks=pytest.mark.slow),
    ],
)
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


def test_a_pass_takes_every_document(tmp_path):
    """Of 20 documents, batches of 3 make blocks of 2 batches, and the last batch is filled up from its own block."""
    documents = stream(numbered(20, tmp_path / "shards", 7, 1, 12))
    passes = [[key for batch in keys(documents, *range(7 * p, 7 * p + 7)) for key in batch] for p in range(4)]
    for one in passes:
        assert set(one) == {text_key(f"d{i}") for i in range(20)}
        assert len(one) == 21
    assert len({tuple(one) for one in passes}) == 4
    again = stream(numbered(20, tmp_path / "shards", 7, 1, 12))
    assert keys(again, 23) == keys(documents, 23) == [passes[3][6:9]]  # skipping and going back


def test_batches_do_not_mix_blocks(tmp_path):
    """Within a block, documents are shuffled; a block is of neighbours in the files, and of two files at an edge."""
    documents = stream(numbered(24, tmp_path / "shards", 24))
    number = {text_key(f"d{i}"): i for i in range(24)}
    blocks = [sorted(number[key] for batch in keys(documents, n, n + 1) for key in batch) for n in range(0, 8, 2)]
    assert blocks == [list(range(i, i + 6)) for i in range(0, 24, 6)]


def test_the_order_of_shards_is_drawn_and_the_seed_counts(tmp_path):
    folder = numbered(32, tmp_path / "shards", *[4] * 8)
    firsts = [tuple(keys(stream(folder, 4, 4, seed=seed), 8 * p)[0]) for seed in range(3) for p in range(0, 6, 2)]
    assert len({frozenset(first) for first in firsts}) > 2
    assert firsts[0] == tuple(keys(stream(folder, 4, 4, seed=0), 0)[0])


def test_two_passes_share_their_blocks(tmp_path):
    """So every document is an anchor once in two of them."""
    documents = stream(numbered(32, tmp_path / "shards", *[4] * 8), 4, 8)
    blocks = [{key for batch in keys(documents, n, n + 1) for key in batch} for n in range(0, 16, 2)]
    assert blocks[:4] == blocks[4:]


def test_a_passage_of_blocks_is_read_without_tokenising(tmp_path):
    encoded = Counter()

    def count(documents):
        encoded.update(document.title for document in documents)
        return encode(documents)

    documents = stream(numbered(60, tmp_path / "shards", 60), 4, 8, encode=count)
    keys(documents, 7)
    assert set(encoded) == {f"d{i}" for i in range(24, 40)}  # its own block and the next one


def test_as_much_is_read_ahead_as_was_taken_of_a_block(tmp_path, monkeypatch):
    read, folder = [], numbered(1000, tmp_path / "shards", 500, 500)
    every = finecl_hf.pretraining.streaming.iter_documents

    def count(*args, **kwargs):
        for item in every(*args, **kwargs):
            read.append(item.title)
            yield item

    monkeypatch.setattr(finecl_hf.pretraining.streaming, "iter_documents", count)
    documents = stream(folder, 5, 50)
    for number in range(100):
        keys(documents, number)
        assert len(read) == min(1000, 50 * (number // 10 + 1) + 5 * (number % 10 + 1) + 5)  # one batch is held


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_take_their_part_of_each_batch(processes, tmp_path):
    from accelerate.data_loader import BatchSamplerShard

    whole = stream(numbered(20, tmp_path / "shards", 20), batch_size=4)
    batches = whole.batches(7, SharedEpoch())
    parts = []
    for process in range(processes):
        own = stream(tmp_path / "shards", batch_size=4)
        shard = BatchSamplerShard(batches, processes, process, split_batches=True)
        parts.append([[row["key"] for row in own.__getitems__(places)] for places in shard])
    assert [sum(map(list, part), []) for part in zip(*parts, strict=True)] == keys(whole, *range(7))


def test_the_collator_is_told_the_pass(tmp_path):
    documents, epoch = stream(numbered(6, tmp_path / "shards", 6)), SharedEpoch()
    documents.batches(8, epoch)
    seen = []
    for number in range(6):
        keys(documents, number)
        seen.append(epoch.get())
    assert seen == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"rel_info": None}, "--streaming true needs --rel_info"),
        ({"max_steps": -1}, "--streaming true needs --max_steps, not -1"),
        ({"dataloader_num_workers": 2}, "--dataloader_num_workers 2 does not go with --streaming true"),
        ({"max_train_samples": 5}, "--max_train_samples does not go with --streaming true"),
        ({"streaming_block": 0}, "--streaming_block 0 is out of range"),
        ({"per_device_train_batch_size": 15}, "silver.json: 14 documents do not fill a batch of 15;"),
        ({"train_file": "nowhere.json"}, "nowhere.json: there is no such file"),
    ],
)
def test_what_a_stream_cannot_do_is_said_in_a_sentence(flags, message, bert_folder, corpus, tmp_path):
    with pytest.raises(FineCLError, match=f"^[^\n]*{re.escape(message)}[^\n]*$"):
        run("pretrain", bert_folder, corpus, tmp_path / "out", **{"streaming": "true", **flags})


@pytest.mark.parametrize("stage", ["denoise", "finetune"])
def test_only_stage_2_streams(stage, bert_folder, corpus, tmp_path):
    with pytest.raises(FineCLError, match="Unknown arguments: --streaming true"):
        MAIN[stage](arguments(stage, bert_folder, corpus, tmp_path, "--streaming", "true"))


@pytest.mark.parametrize(
    "workers, line, message",
    [
        (0, '{"title": "broken"}', r'document 3 \("broken"\): the key "sents" is missing.'),
        (0, "unknown relation", r'document 3 \("new"\), labels: the relation "spouse of nobody" is not among the .*'),
        (1, "unknown relation", r'document 3 \("new"\), labels: the relation "spouse of nobody" is not among the .*'),
    ],
)
def test_the_sentence_on_a_document_is_the_usual_one(workers, line, message, bert_folder, corpus, tmp_path):
    if line == "unknown relation":
        line = small_document("new", ["a", "b"], [(0, 1, "spouse of nobody")]).to_json()
    lines = [document.to_json() for document in read_documents(corpus / "silver.json")]
    (tmp_path / "silver.jsonl").write_text("\n".join([*lines[:3], line, *lines[3:]]))
    options = {"streaming": "true", "train_file": tmp_path / "silver.jsonl", "dataloader_num_workers": workers}
    with pytest.raises(FineCLError, match=rf"^{tmp_path}/silver\.jsonl, {message}$") as raised:
        run("pretrain", bert_folder, corpus, tmp_path / "out", **options)
    assert "\n" not in str(raised.value)


def test_invalid_documents_and_repeated_titles(tmp_path, caplog):
    caplog.set_level("INFO")
    lines = [small_document(f"d{i}", ["a", "b"]).to_json() for i in range(6)]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, '{"title": "broken"}', lines[2]]))
    with pytest.raises(FineCLError, match=r'a\.jsonl, document 6 \("broken"\): the key "sents"'):
        keys(stream(tmp_path / "a.jsonl"), 1)
    documents = stream(tmp_path / "a.jsonl", skip_invalid=True)
    assert len({key for batch in keys(documents, 0, 1, 2) for key in batch}) == 6
    assert caplog.text.count("It is left out, as are all") == 1
    assert "Pass 1 read 6 documents and left out 2 invalid ones; 0 of 0 labels take part." in caplog.text
    (tmp_path / "a.jsonl").write_text("\n".join([*lines, lines[2]]))
    with pytest.raises(FineCLError, match=rf"document 6 \(\"d2\"\), title: .*document 2 of {tmp_path}/a.jsonl has"):
        keys(stream(tmp_path / "a.jsonl"), 1)


def test_held_out_pairs_leave_the_stream(bert_folder, corpus, shards, tmp_path, trainers, caplog):
    """The validation set is the corpus itself here, so that no fact is left."""
    caplog.set_level("INFO")
    facts = sum(len(document.relations) for document in read_documents(corpus / "silver.json"))
    options = {"streaming": "true", "train_file": shards, "exclude_file": corpus / "silver.json", "max_steps": 5}
    run("pretrain", bert_folder, corpus, tmp_path / "out", **options)
    assert f"Pass 1 read 14 documents; {facts:,} facts about held-out entity pairs left them; 0 of 0" in caplog.text
    assert facts > 50


def test_the_card_claims_no_more_than_is_known(bert_folder, corpus, shards, order_file, tmp_path):
    options = {"streaming": "true", "train_file": shards, "learning_order": order_file, "max_steps": 1}
    run("pretrain", bert_folder, corpus, tmp_path / "out", **options)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Training facts in the learning order" not in card and "mentions" not in card
    assert "| Name |\n| --- |\n| `shards` |" in card


@pytest.mark.slow
def test_two_processes_stream_what_one_does(corpus, shards, tmp_path):
    encoder = build_bert(tmp_path / "encoder", dropout=0.0)
    options = {**NO_WARMUP, "train_file": shards, "streaming_block": 8, "max_steps": 6, "learning_rate": 1e-4}
    launch("pretrain", encoder, corpus, tmp_path / "two", **options, per_device_train_batch_size=2)
    run("pretrain", encoder, corpus, tmp_path / "one", **options, per_device_train_batch_size=4)
    logs = [json.loads((tmp_path / name / "trainer_state.json").read_text()) for name in ("two", "one")]
    losses = [[entry["loss"] for entry in log["log_history"] if "loss" in entry] for log in logs]
    assert len(losses[0]) == 6
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
