"""What does an ONNX export gain, and what does int8 cost?

    python benchmarks/onnx_export.py --model outputs/extractor --documents test.json --threads 1

Exports a fine-tuned extractor in float32 and int8, and extracts from the same labelled documents with torch and with
both, batch by batch in turns. Told are the times of the encoder (what runs in onnxruntime, and pooling of attention)
and of the whole pipeline (tokenisation, head and spans as well, which stay as they are), F1, and how far triples are
from torch's. Without `--model`, it is a random one of the base size of BERT, RoBERTa or DeBERTa-v3, whose times alone
mean something. With one thread, times are those of the processor, which other processes disturb somewhat. The last
line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from transformers import BertConfig, DebertaV2Config, RobertaConfig

from benchmarks.running import run_benchmark
from finecl_hf import FineCLConfig, FineCLForRelationExtraction, RelationExtractionPipeline, read_documents
from finecl_hf.extraction import modeling
from finecl_hf.extraction.onnx_export import export_onnx
from finecl_hf.metrics import docred_scores
from finecl_hf.synthetic.encoder import build_small_encoder, train_tokenizer


BATCH = 8
ARCHITECTURES = {
    "bert": BertConfig(),
    "roberta": RobertaConfig(type_vocab_size=1),
    "deberta": DebertaV2Config(
        hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, type_vocab_size=0,
        relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=256, share_att_key=True,
        norm_rel_ebd="layer_norm", max_relative_positions=-1, position_biased_input=False,
    ),
}  # fmt: skip


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="output folder of run_finetune.py")
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="bert", help="of a random model")
    parser.add_argument("--documents", required=True, help="labelled documents that it was not trained on")
    parser.add_argument("--most", type=int, help="take so many of them")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    documents = read_documents(args.documents)[: args.most]
    with tempfile.TemporaryDirectory() as folder:
        model = args.model or random_extractor(documents, os.path.join(folder, "random"), args.architecture)
        result = measure(model, documents, folder, args.threads)
    for name, figures in result["runs"].items():
        print(name, *(f"{key} {value}" for key, value in figures.items()), sep="  ")
    print(json.dumps(result))
    return result


def random_extractor(documents, folder, architecture):
    """A relation model of base size, which finds nothing."""
    torch.manual_seed(0)
    words = (word for document in documents for sentence in document.sentences for word in sentence)
    build_small_encoder(train_tokenizer(words, 30522, 512), folder, ARCHITECTURES[architecture])
    relations = ["NA", *(f"P{number}" for number in range(1, 97))]
    settings = {"head": "context", "mixed_layers": 4, "threshold": 100.0}
    config = FineCLConfig.for_labels({name: number for number, name in enumerate(relations)}, **settings)
    FineCLForRelationExtraction.from_encoder(folder, config).save_pretrained(folder)
    return folder


def measure(model, documents, folder, threads):
    clock = time.process_time if threads == 1 else time.perf_counter
    sizes = {"torch float32": None}
    pipelines = {"torch float32": RelationExtractionPipeline(model, backend="torch", device="cpu")}
    for name, quantize in (("onnx float32", False), ("onnx int8", True)):
        made = export_onnx(model, os.path.join(folder, name), quantize=quantize)
        sizes[name] = round(made.megabytes, 1)
        pipelines[name] = RelationExtractionPipeline(str(made.folder), backend="onnx", device="cpu")
    whole, encoding = (dict.fromkeys(pipelines, 0.0) for _ in range(2))
    found = {name: [] for name in pipelines}
    documents = sorted(documents, key=lambda document: sum(map(len, document.sentences)))
    for extract in pipelines.values():
        extract(documents[:BATCH])
    for start in range(0, len(documents), BATCH):
        for name, extract in pipelines.items():
            with timed_encoder(encoding, name, clock):
                begin = clock()
                found[name] += extract(documents[start : start + BATCH], batch_size=BATCH)
                whole[name] += clock() - begin
    runs = {}
    for name in pipelines:
        runs[name] = {
            "encoder_s": round(encoding[name], 2),
            "pipeline_s": round(whole[name], 2),
            "encoder_speedup": round(encoding["torch float32"] / encoding[name], 2),
            "pipeline_speedup": round(whole["torch float32"] / whole[name], 2),
            "graph_mb": sizes[name],
            "f1": round(100 * docred_scores(predictions(documents, found[name]), documents)["f1"], 2),
            **differences(found["torch float32"], found[name]),
        }
    return {"documents": len(documents), "threads": threads, "runs": runs}


@contextmanager
def timed_encoder(seconds, name, clock):
    """Adds up what `encode` takes while relation models run."""
    encode = modeling.encode

    def timed(*args, **kwargs):
        begin = clock()
        try:
            return encode(*args, **kwargs)
        finally:
            seconds[name] += clock() - begin

    modeling.encode = timed
    try:
        yield
    finally:
        modeling.encode = encode


def predictions(documents, found):
    """In DocRED's submission format."""
    return [
        {"title": document.title, "h_idx": triple["h_idx"], "t_idx": triple["t_idx"], "r": triple["relation"]}
        for document, triples in zip(documents, found, strict=True)
        for triple in triples
    ]


def differences(expected, found):
    """Triples that one of both has alone, and the largest difference of a score that both give."""
    alone = total = 0
    furthest = 0.0
    for one, other in zip(map(by_fact, expected), map(by_fact, found), strict=True):
        alone += len(one.keys() ^ other.keys())
        total += len(other)
        furthest = max([furthest, *(abs(one[fact] - other[fact]) for fact in one.keys() & other.keys())])
    return {"triples": total, "triples_of_one_alone": alone, "score_difference": float(f"{furthest:.2g}")}


def by_fact(triples):
    return {(triple["h_idx"], triple["relation"], triple["t_idx"]): triple["score"] for triple in triples}


if __name__ == "__main__":
    run_benchmark(main)
