"""What does one document of many words and entities take?

    python benchmarks/large_document.py --words 400 --entities 100 --head context --size base --train
    python benchmarks/large_document.py --documents dev_revised.json --characters 16280 --model all-MiniLM-L6-v2

A training step (forward, backward); or extraction by the pipeline, with tokenisation. The document is made of random
words, or of a corpus's documents joined to one. The head is a new one, over 96 relations; without `--model`, the
encoder is a random one. The last line is JSON: seconds (of the fastest of three runs), peak memory, pairs.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch
from transformers import BertConfig

from benchmarks.inference import RELATIONS
from benchmarks.running import run_benchmark
from finecl_hf import (
    Document,
    FineCLConfig,
    FineCLForRelationExtraction,
    RelationExtractionPipeline,
    read_documents,
)
from finecl_hf.data.documents import NA, Mention, entity_types
from finecl_hf.encoding.batches import RelationCollator
from finecl_hf.encoding.encoders import load_tokenizer
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.synthetic.encoder import build_small_encoder, train_tokenizer


SIZES = {
    "small": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    "base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=400)
    parser.add_argument("--entities", type=int, default=100)
    parser.add_argument("--documents", help="take text and entities from here")
    parser.add_argument("--characters", type=int, default=16_280, help="of these documents")
    parser.add_argument("--model", help="encoder")
    parser.add_argument("--size", choices=sorted(SIZES), default="small", help="of the random encoder")
    parser.add_argument("--head", default="context")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    document = joined(args.documents, args.characters) if args.documents else random_document(args)
    with tempfile.TemporaryDirectory() as folder:
        model, tokenizer = build(args, folder, document)
    run = training_step(model, tokenizer, document) if args.train else extraction(model, tokenizer, document)
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    size = len(document.entities)
    result = {
        "head": args.head,
        "words": sum(map(len, document.sentences)),
        "characters": sum(len(" ".join(sentence)) + 1 for sentence in document.sentences),
        "entities": size,
        "pairs": size * (size - 1),
        "seconds": round(min(seconds), 2),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(result))
    return result


def random_document(args) -> Document:
    """Random words in sentences of 25; two mentions of each entity."""
    rng = np.random.default_rng(0)
    words = [f"w{number}" for number in rng.integers(0, 500, args.words)]
    sentences = [words[start : start + 25] for start in range(0, len(words), 25)]
    entities = []
    for _ in range(args.entities):
        where = rng.integers(0, len(sentences), 2)
        starts = [int(rng.integers(0, len(sentences[sentence]))) for sentence in where]
        entities.append([
            Mention("x", int(sentence), start, start + 1, "PER") for sentence, start in zip(where, starts, strict=True)
        ])  # fmt: skip
    return Document("large", sentences, entities)


def joined(path: str, characters: int) -> Document:
    """Documents one after another until they have so many characters, with the entities that lie in them."""
    sentences, entities, length = [], [], 0
    for document in read_documents(path):
        before = len(sentences)
        for sentence in document.sentences:
            if length < characters:
                sentences.append(sentence)
                length += len(" ".join(sentence)) + 1
        for entity in document.entities:
            kept = [m for m in entity if m.sent_id < len(sentences) - before]
            if kept:
                entities.append([Mention(m.name, m.sent_id + before, m.start, m.end, m.type) for m in kept])
        if length >= characters:
            break
    return Document("large", sentences, entities)


def build(args, folder: str, document: Document):
    model = args.model
    if model is None:
        tokenizer = train_tokenizer((word for sentence in document.sentences for word in sentence), 2000, 512)
        model = build_small_encoder(tokenizer, folder, BertConfig(vocab_size=30522, **SIZES[args.size]), seed=0)
    config = FineCLConfig.for_labels(
        {name: number for number, name in enumerate([NA, *(f"P{i}" for i in range(1, RELATIONS))])},
        head=args.head,
        mixed_layers=4 if args.head in ("context", "evidence") else 1,
        entity_types=entity_types([document]),
        threshold=3.0,  # lets few pairs through
    )
    torch.manual_seed(0)
    return FineCLForRelationExtraction.from_encoder(model, config), load_tokenizer(model)


def training_step(model, tokenizer, document: Document):
    config = model.config
    encoder = DocumentEncoder(tokenizer, config.label2id, config.max_seq_length, long_documents=config.long_documents)
    batch = RelationCollator(tokenizer.pad_token_id)(encoder.rows([document]))
    model.train()

    def run():
        model(**batch).loss.backward()
        model.zero_grad(set_to_none=True)

    return run


def extraction(model, tokenizer, document: Document):
    pipeline = RelationExtractionPipeline(model.eval(), tokenizer)
    return lambda: pipeline(document)


if __name__ == "__main__":
    run_benchmark(main)
