"""What does a step of stage 2 cost beside the bare encoder?

    python benchmarks/pretrain_step.py                                       # generated documents, a random encoder
    python benchmarks/pretrain_step.py --documents dev_revised.json --model all-MiniLM-L6-v2 --threads 2

Times, on the same batches and in turns: the collation of a batch of documents (relation and entity rows); a training
step (collated batch to gradients, MLM head included, optimiser left out); and the floor, the encoder alone forward and
backward over the same real tokens, in the fastest of several layouts: rows of similar length together, 2 to 16 at a
time, or packed into rows of 1,024 tokens without padding. `ratio` is step over floor. Medians; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from statistics import median


sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from transformers import BertConfig

import run_pretrain
from finecl_hf import PretrainTrainer, write_documents
from finecl_hf.features import SHIFTED_POSITIONS
from finecl_hf.small_encoder import build_small_encoder, train_tokenizer
from finecl_hf.synthetic import generate_corpus


CHUNKS = (2, 4, 8, 16)  # rows of similar length that the floor encodes together
PACKED = 1024  # tokens of a packed row


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", help="labelled documents (default: generated ones)")
    parser.add_argument("--model", help="encoder (default: a random one of MiniLM's size)")
    parser.add_argument(
        "--batch_size", type=int, default=16, help="documents; each makes a relation and an entity row"
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast, for the step and for the floor")
    args, further = parser.parse_known_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(args, further, Path(folder))
        result = measure(trainer, args)
    print("\n".join(f"{name:<22}{value}" for name, value in result.items()))
    print(json.dumps(result))
    return result


class _Built(Exception):
    pass


def build_trainer(args, further: list[str], folder: Path) -> PretrainTrainer:
    """The trainer that `run_pretrain.py` builds, taken away from it before it trains."""
    documents, model = args.documents, args.model
    if documents is None or model is None:
        corpus = generate_corpus(num_documents=400, seed=0)
        words = (word for document in corpus.silver for sentence in document.sentences for word in sentence)
    if documents is None:
        documents = str(folder / "silver.json")
        write_documents(corpus.silver, documents)
    if model is None:
        config = BertConfig(
            hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, vocab_size=30522
        )
        model = build_small_encoder(train_tokenizer(words, 4000, 512), str(folder / "encoder"), config, seed=0)
    flags = {
        "model_name_or_path": model,
        "train_file": documents,
        "output_dir": str(folder / "out"),
        "weight_scheme": "uniform",
        "per_device_train_batch_size": args.batch_size,
        "gradient_accumulation_steps": 1,
        "max_steps": 1,
        "use_cpu": args.device == "cpu",
        "bf16": args.bf16,
    }

    def stop(self, **kwargs):
        raise _Built(self)

    train, PretrainTrainer.train = PretrainTrainer.train, stop
    try:
        run_pretrain.main([*(f"--{name}={value}" for name, value in flags.items()), *further])
    except _Built as built:
        return built.args[0]
    finally:
        PretrainTrainer.train = train


def measure(trainer: PretrainTrainer, args) -> dict[str, float | str]:
    model = trainer.model.to(args.device).train()
    batches = [[trainer.train_dataset[i] for i in chosen] for chosen in trainer.get_train_dataloader().batch_sampler][
        : args.repeats
    ]
    autocast = torch.autocast(args.device, torch.bfloat16) if args.bf16 else nullcontext()
    times: dict[str, list[float]] = {"collate": [], "step": []}
    tokens, padded = [], []
    for rows in [batches[0], *batches]:  # the first one warms up
        collated, seconds = timed(lambda rows=rows: trainer.data_collator(rows), args.device)
        times["collate"].append(seconds)
        inputs = {n: v.to(args.device) if isinstance(v, torch.Tensor) else v for n, v in collated.items()}

        def step(inputs=inputs):
            with autocast:
                loss = trainer.compute_loss(model, inputs)
            loss.backward()
            model.zero_grad(set_to_none=True)

        times["step"].append(timed(step, args.device)[1])
        mask = inputs["attention_mask"].bool()
        sequences = [ids[kept] for ids, kept in zip(inputs["input_ids"], mask, strict=True)]
        tokens.append(int(mask.sum()))
        padded.append(mask.numel())
        for name, layout in layouts(sequences, model.config).items():
            times.setdefault(name, []).append(
                timed(lambda layout=layout: bare(model, layout, autocast), args.device)[1]
            )
    medians = {name: median(values[1:]) for name, values in times.items()}
    fastest = min((name for name in medians if name not in ("collate", "step")), key=medians.get)
    return {
        "documents": args.batch_size,
        "collate_ms": round(1000 * medians["collate"], 2),
        "step_s": round(medians["step"], 4),
        "bare_encoder_s": round(medians[fastest], 4),
        "fastest_layout": fastest,
        "ratio": round(medians["step"] / medians[fastest], 3),
        "tokens_per_s": round(median(tokens[1:]) / medians["step"]),
        "padding": round(1 - sum(tokens) / sum(padded), 3),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "threads": torch.get_num_threads(),
    }


def timed(function, device: str):
    """What a function returns, and the seconds it took."""
    begin = time.perf_counter()
    result = function()
    if device == "cuda":
        torch.cuda.synchronize()
    return result, time.perf_counter() - begin


def layouts(sequences: list[torch.Tensor], config) -> dict[str, list[dict[str, torch.Tensor]]]:
    """The same tokens as inputs of the encoder, in several forward passes each."""
    by_length = sorted(sequences, key=len)
    result = {
        f"rows of {size}": [padded_batch(by_length[i : i + size]) for i in range(0, len(by_length), size)]
        for size in CHUNKS
    }
    return {**result, f"packed to {PACKED}": [packed_batch(group, config) for group in groups(by_length, PACKED)]}


def groups(sequences: list[torch.Tensor], most: int) -> list[list[torch.Tensor]]:
    """Sequences in order, together as long as they have no more than so many tokens."""
    result: list[list[torch.Tensor]] = [[]]
    for ids in sequences:
        if result[-1] and sum(map(len, result[-1])) + len(ids) > most:
            result.append([])
        result[-1].append(ids)
    return result


def padded_batch(sequences: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(ids) for ids in sequences], batch_first=True)
    return {"input_ids": torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True), "attention_mask": mask}


def packed_batch(sequences: list[torch.Tensor], config) -> dict[str, torch.Tensor]:
    """Sequences in one row; a block-diagonal mask keeps them apart, and costs memory with its square."""
    first = config.pad_token_id + 1 if config.model_type in SHIFTED_POSITIONS else 0
    owner = torch.cat([torch.full_like(ids, i) for i, ids in enumerate(sequences)])
    positions = torch.cat([torch.arange(first, first + len(ids), device=ids.device) for ids in sequences])
    return {
        "input_ids": torch.cat(sequences)[None],
        "position_ids": positions[None],
        "attention_mask": (owner[:, None] == owner)[None, None],
    }


def bare(model, batches: list[dict[str, torch.Tensor]], autocast) -> None:
    """Forward and backward of the encoder alone."""
    for inputs in batches:
        with autocast:
            hidden = model.base_model(**inputs)[0]
        hidden.float().square().mean().backward()
    model.zero_grad(set_to_none=True)


if __name__ == "__main__":
    main()
