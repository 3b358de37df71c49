"""What does extraction cost beside the bare encoder?

    python benchmarks/inference.py                                       # generated documents, a random encoder
    python benchmarks/inference.py --documents dev_revised.json --model all-MiniLM-L6-v2 --threads 2

Times, on the same documents and in turns: the pipeline, from documents to triples, tokenisation included; and the
floor, the encoder's forward pass alone, see `step_cost`. Medians over the batches; the last line is JSON. `--model` is
an encoder; the head on it is a new one, and its `threshold` lets few pairs through.
"""

from __future__ import annotations

import resource
import sys
from contextlib import nullcontext
from pathlib import Path
from statistics import median


sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from transformers import AutoConfig

from benchmarks import step_cost
from benchmarks.running import run_benchmark
from finecl_hf import FineCLConfig, FineCLForRelationExtraction, RelationExtractionPipeline, read_documents
from finecl_hf.encoding.encoders import load_tokenizer, max_length_for


RELATIONS = 97  # of DocRED, NA among them


def main(argv=None):
    parser = step_cost.parser(__doc__, batch_size=16)
    return step_cost.run(parser, argv, measure)


def measure(args, further, folder):
    if further:
        raise SystemExit(f"unknown arguments: {' '.join(further)}")
    path, encoder = step_cost.inputs_of(args, folder, part="gold_train")
    documents = read_documents(path)
    size = args.batch_size
    batches = [documents[i : i + size] for i in range(0, len(documents), size)][: args.repeats + 1]
    pipeline = build_pipeline(encoder, args.device)
    model = pipeline.model
    autocast = torch.autocast(args.device, torch.bfloat16) if args.bf16 else nullcontext()
    times, floors, tokens, triples = [], {}, [], 0
    for batch in batches:
        with autocast:
            found, seconds = step_cost.timed(lambda batch=batch: pipeline(batch, batch_size=size), args.device)
        times.append(seconds)
        triples += sum(map(len, found))
        sequences = [ids.to(args.device) for ids in token_ids(pipeline, batch)]
        tokens.append(sum(map(len, sequences)))
        with torch.no_grad():
            layouts = step_cost.layouts(sequences, model.encoder.config)
            step_cost.time_layouts(floors, layouts, model.encoder, autocast, args.device)
    fastest, floor_seconds = step_cost.fastest_layout(floors)
    seconds = median(times[1:])
    return {
        "documents": size,
        "documents_per_s": round(size / seconds, 1),
        "tokens_per_s": round(median(tokens[1:]) / seconds),
        "batch_s": round(seconds, 4),
        "bare_encoder_s": round(floor_seconds, 4),
        "fastest_layout": fastest,
        "ratio": round(seconds / floor_seconds, 3),
        "triples": triples,
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "threads": torch.get_num_threads(),
    }


def build_pipeline(encoder: str, device: str) -> RelationExtractionPipeline:
    torch.manual_seed(0)
    names = ["NA", *(f"P{i}" for i in range(1, RELATIONS))]
    tokenizer = load_tokenizer(encoder)
    config = FineCLConfig(
        label2id={name: i for i, name in enumerate(names)},
        id2label=dict(enumerate(names)),
        max_seq_length=max_length_for(tokenizer, AutoConfig.from_pretrained(encoder)),
        threshold=3.0,
    )
    model = FineCLForRelationExtraction.from_encoder(encoder, config)
    return RelationExtractionPipeline(model.eval(), tokenizer, device=device)


def token_ids(pipeline: RelationExtractionPipeline, documents) -> list[torch.Tensor]:
    """The documents' tokens, as far as the encoder reads them."""
    words = [[word for sentence in document.sentences for word in sentence] for document in documents]
    encoded = pipeline.tokenizer(
        words, is_split_into_words=True, truncation=True, max_length=pipeline.model.config.max_seq_length
    )
    return [torch.tensor(ids) for ids in encoded["input_ids"]]


if __name__ == "__main__":
    run_benchmark(main)
