"""How fast does a stream of short raw texts go, and does its memory stay flat?

    python benchmarks/stream.py                                  # 10,000 generated texts, a random encoder

Prints the growth of memory after the first 1,000 texts, and texts a second with the cost of the recogniser, a list of
names, apart; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import psutil
from transformers import BertConfig


sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.inference import build_pipeline
from benchmarks.large_document import SIZES
from benchmarks.running import run_benchmark
from finecl_hf.extraction.recognition.gazetteer import Gazetteer
from finecl_hf.extraction.recognition.raw_text import TextReader
from finecl_hf.synthetic.encoder import build_small_encoder, train_tokenizer


WARM = 1000  # texts before memory is measured


class Timed:
    """A recogniser that counts its seconds."""

    def __init__(self, names):
        self.gazetteer, self.seconds = Gazetteer(names), 0.0

    def __call__(self, text):
        started = time.perf_counter()
        found = self.gazetteer([text])[0]
        self.seconds += time.perf_counter() - started
        return found


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--batch_size", type=int, default=16)
    args = parser.parse_args(argv)
    people, places = [f"Person{i} Name{i}" for i in range(200)], [f"Place{i}" for i in range(200)]
    texts = [f"{person} was born in {place}. {place} lies near {places[i - 1]}."
             for i, (person, place) in enumerate(zip(people, places, strict=True))]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = train_tokenizer(texts, vocab_size=1000, model_max_length=128)
        build_small_encoder(tokenizer, folder, BertConfig(**SIZES["small"]))
        extract = build_pipeline(folder, "cpu")
    timed = Timed([*((name, "PER", "") for name in people), *((name, "LOC", "") for name in places)])
    extract.reader = TextReader(timed)
    process, before, triples = psutil.Process(), 0, 0
    started = time.perf_counter()
    stream = extract.stream((texts[i % len(texts)] for i in range(args.documents)), batch_size=args.batch_size)
    for number, found in enumerate(stream, 1):
        triples += len(found)
        if number == min(WARM, args.documents):
            before = process.memory_info().rss
    seconds = time.perf_counter() - started
    result = {
        "documents": args.documents,
        "documents_per_s": round(args.documents / seconds, 1),
        "documents_per_s_without_recogniser": round(args.documents / (seconds - timed.seconds), 1),
        "recogniser_share": round(timed.seconds / seconds, 4),
        "growth_mb": round((process.memory_info().rss - before) / 2**20, 1),
        "triples": triples,
    }
    print(json.dumps(result))
    return result


if __name__ == "__main__":
    run_benchmark(main)
