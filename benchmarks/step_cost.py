"""What the step benchmarks share: the trainer that a script builds, the floor it is measured against, and timing.

The floor is the encoder alone, forward and backward over the same real tokens, in the fastest of several layouts: rows
of similar length together, 2 to 8 at a time on CPUs, more on GPUs; packed into rows of 1,024 tokens whose attention a
mask keeps apart; or packed into rows of 1,024 to any number of tokens, each document attending to itself
(`finecl_hf.encoding.packing`).
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median

import torch
from transformers import BertConfig, Trainer

from finecl_hf import write_documents
from finecl_hf.encoding.encoders import SHIFTED_POSITIONS
from finecl_hf.encoding.packing import PACKABLE, PACKED, Packing, packed_inputs
from finecl_hf.synthetic.corpus import generate_corpus
from finecl_hf.synthetic.encoder import build_small_encoder, train_tokenizer


CHUNKS = {"cpu": (2, 4, 8), "cuda": (8, 32, 128)}  # rows of similar length that the floor encodes together
MASKED = 1024  # tokens of a packed row with a mask, which costs memory with its square
PACKS = (1024, 2048, 4096, 2**20)  # tokens of a packed row without one


def parser(description: str, batch_size: int) -> argparse.ArgumentParser:
    """Arguments of every step benchmark; what it does not know goes to the script."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--documents", help="labelled documents (default: generated ones)")
    result.add_argument("--model", help="encoder (default: a random one of MiniLM's size)")
    result.add_argument("--batch_size", type=int, default=batch_size, help="documents")
    result.add_argument("--repeats", type=int, default=7)
    result.add_argument("--threads", type=int)
    result.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    result.add_argument("--bf16", action="store_true", help="bfloat16 autocast, for the step and for the floor")
    return result


def run(parser: argparse.ArgumentParser, argv: list[str] | None, measure: Callable) -> dict:
    """Parses, measures (`measure(args, further arguments, folder)`) and prints; the last line is JSON."""
    args, further = parser.parse_known_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(args, further, Path(folder))
    print("\n".join(f"{name:<22}{value}" for name, value in result.items()))
    print(json.dumps(result))
    return result


def inputs_of(args, folder: Path, part: str = "silver") -> tuple[str, str]:
    """Documents and encoder, generated where none are named.

    Args:
        part: of the generated corpus: silver or gold_train.
    """
    documents, model = args.documents, args.model
    if documents is None or model is None:
        corpus = generate_corpus(num_documents=400, seed=0)
        words = (word for document in corpus.silver for sentence in document.sentences for word in sentence)
    if documents is None:
        documents = str(folder / f"{part}.json")
        write_documents(getattr(corpus, part), documents)
    if model is None:
        config = BertConfig(
            hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, vocab_size=30522
        )
        model = build_small_encoder(train_tokenizer(words, 4000, 512), str(folder / "encoder"), config, seed=0)
    return documents, model


class _Built(Exception):
    pass


def built_trainer(main: Callable, kind: type[Trainer], flags: dict, further: list[str]) -> Trainer:
    """The trainer that a script's `main` builds, taken away from it before it trains."""

    def stop(self, **kwargs):
        raise _Built(self)

    train, kind.train = kind.train, stop
    try:
        main([*(f"--{name}={value}" for name, value in flags.items()), *further])
    except _Built as built:
        return built.args[0]
    finally:
        kind.train = train


def flags_of(args, documents: str, model: str, folder: Path) -> dict[str, object]:
    return {
        "model_name_or_path": model,
        "train_file": documents,
        "output_dir": folder / "out",
        "per_device_train_batch_size": args.batch_size,
        "gradient_accumulation_steps": 1,
        "max_steps": 1,
        "use_cpu": args.device == "cpu",
        "bf16": args.bf16,
    }


def measure_steps(trainer: Trainer, encoder: torch.nn.Module, args) -> dict[str, float | str]:
    """Times fetching, collation, a step and the floor on the same batches, in turns: medians without the first batch.

    Args:
        encoder: the bare one inside the trainer's model.
    """
    model = trainer.model.to(args.device).train()
    sampler = iter(trainer.get_train_dataloader().batch_sampler)
    autocast = torch.autocast(args.device, torch.bfloat16) if args.bf16 else nullcontext()
    times: dict[str, list[float]] = {"fetch": [], "collate": [], "step": []}
    floors: dict[str, list[float]] = {}
    tokens, padded = [], []
    for chosen in [next(sampler) for _ in range(args.repeats + 1)]:
        rows, seconds = timed(lambda chosen=chosen: trainer.train_dataset.__getitems__(chosen), args.device)
        times["fetch"].append(seconds)
        collated, seconds = timed(lambda rows=rows: trainer.data_collator(rows), args.device)
        times["collate"].append(seconds)
        inputs = to_device(collated, args.device)

        def step(inputs=inputs):
            with autocast:
                loss = trainer.compute_loss(model, inputs)
            loss.backward()
            model.zero_grad(set_to_none=True)

        if not floors:
            step()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # before the floor, which also tries padding
        times["step"].append(timed(step, args.device)[1])
        chunks = inputs.get("chunks", [inputs])
        sequences = [
            ids[kept.bool()]
            for chunk in chunks
            for ids, kept in zip(chunk["input_ids"], chunk["attention_mask"], strict=True)
        ]
        tokens.append(sum(map(len, sequences)))
        padded.append(sum(chunk["input_ids"].numel() for chunk in chunks))
        time_layouts(floors, layouts(sequences, encoder.config), encoder, autocast, args.device)
    steps = {name: median(values[1:]) for name, values in times.items()}
    fastest, floor_seconds = fastest_layout(floors)
    result = {
        "documents": args.batch_size,
        "fetch_ms": round(1000 * steps["fetch"], 2),
        "collate_ms": round(1000 * steps["collate"], 2),
        "step_s": round(steps["step"], 4),
        "bare_encoder_s": round(floor_seconds, 4),
        "fastest_layout": fastest,
        "ratio": round(steps["step"] / floor_seconds, 3),
        "tokens_per_s": round(median(tokens[1:]) / steps["step"]),
        "padding_saved": round(1 - sum(tokens) / sum(padded), 3),
        "peak_rss_mb": round(peak / 1024),
        "threads": torch.get_num_threads(),
    }
    if args.device == "cuda":
        result |= gpu_figures(trainer, encoder, step, layouts(sequences, encoder.config)[fastest], autocast)
    return result


def time_layouts(floors: dict[str, list[float]], found: dict[str, list[dict]], encoder, autocast, device: str) -> None:
    """Adds the seconds of each layout to `floors`: of all on the first batch, then of those that were fast there."""
    for name in sorted(floors, key=lambda name: floors[name][0])[:3] if floors else found:
        seconds = timed(lambda name=name: bare(encoder, found[name], autocast), device)[1]
        floors.setdefault(name, []).append(seconds)


def fastest_layout(floors: dict[str, list[float]]) -> tuple[str, float]:
    """The layout with the lowest median, the first batch left out, and that median."""
    medians = {name: median(seconds[1:]) for name, seconds in floors.items() if len(seconds) > 1}
    fastest = min(medians, key=medians.get)
    return fastest, medians[fastest]


def gpu_figures(trainer, encoder, step, layout, autocast) -> dict[str, float]:
    """How busy the GPU is, its FLOPs against what a large product reaches, and the share of time spent on waiting."""
    from torch.profiler import ProfilerActivity, profile
    from torch.utils.flop_counter import FlopCounterMode

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        _, seconds = timed(lambda: [step() for _ in range(5)], "cuda")
    busy = sum(event.self_device_time_total for event in profiler.key_averages()) / 1e6
    with FlopCounterMode(display=False) as counter:
        bare(encoder, layout, autocast)
    square = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16 if trainer.args.bf16 else torch.float32)
    timed(lambda: square @ square, "cuda")
    _, product = timed(lambda: [square @ square for _ in range(20)], "cuda")
    peak = 20 * 2 * 8192**3 / product
    waiting = working = 0.0
    begin = time.perf_counter()
    for number, inputs in enumerate(trainer.get_train_dataloader()):
        waiting += (time.perf_counter() - begin) * (number > 4)  # the first ones fill the queue
        _, seconds_of_step = timed(
            lambda inputs=inputs: trainer.compute_loss(trainer.model, inputs).backward(), "cuda"
        )
        trainer.model.zero_grad(set_to_none=True)
        working += seconds_of_step * (number > 4)
        begin = time.perf_counter()
        if number == 30:
            break
    return {
        "gpu_busy": round(busy / seconds, 3),
        "flop_utilisation": round(counter.get_total_flops() / (seconds / 5) / peak, 3),
        "matmul_tflops": round(peak / 1e12),
        "loader_wait": round(waiting / max(waiting + working, 1e-9), 4),
        "peak_gpu_mb": round(torch.cuda.max_memory_allocated() / 2**20),
    }


def to_device(values, device: str):
    if isinstance(values, torch.Tensor):
        return values.to(device)
    if isinstance(values, dict):
        return {name: to_device(value, device) for name, value in values.items()}
    return [to_device(value, device) for value in values] if isinstance(values, list) else values


def timed(function: Callable, device: str):
    """What a function returns, and the seconds it took."""
    begin = time.perf_counter()
    result = function()
    if device == "cuda":
        torch.cuda.synchronize()
    return result, time.perf_counter() - begin


def layouts(sequences: list[torch.Tensor], config) -> dict[str, list[dict]]:
    """The same tokens as inputs of the encoder, in several forward passes each."""
    by_length = sorted(sequences, key=len)
    result = {
        f"rows of {size}": [padded_batch(by_length[i : i + size]) for i in range(0, len(by_length), size)]
        for size in CHUNKS[sequences[0].device.type]
    }
    if config.model_type in PACKABLE:
        masked = groups(by_length, MASKED)
        result[f"packed to {MASKED}, masked"] = [masked_row(group, config) for group in masked]
    if config._attn_implementation == PACKED:
        for most in PACKS:
            name = f"packed to {most}" if most < 2**20 else "packed"
            result[name] = [packed_row(group, config) for group in groups(by_length, most)]
    return result


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


def masked_row(sequences: list[torch.Tensor], config) -> dict[str, torch.Tensor]:
    """Sequences in one row; a block-diagonal mask keeps them apart."""
    first = config.pad_token_id + 1 if config.model_type in SHIFTED_POSITIONS else 0
    owner = torch.cat([torch.full_like(ids, i) for i, ids in enumerate(sequences)])
    positions = torch.cat([torch.arange(first, first + len(ids), device=ids.device) for ids in sequences])
    return {
        "input_ids": torch.cat(sequences)[None],
        "position_ids": positions[None],
        "attention_mask": (owner[:, None] == owner)[None, None],
    }


def packed_row(sequences: list[torch.Tensor], config) -> dict:
    """Sequences in one row, each attending to itself."""
    batch = padded_batch(sequences)
    mask = batch["attention_mask"].bool()
    packing = Packing([len(ids) for ids in sequences], mask.flatten().nonzero().squeeze(1), mask)
    return packed_inputs(config, torch.cat(sequences), packing)


def bare(encoder, batches: list[dict], autocast) -> None:
    """Forward of the encoder alone, and backward where gradients are on."""
    for inputs in batches:
        with autocast:
            hidden = encoder(**inputs)[0]
        if torch.is_grad_enabled():
            hidden.float().square().mean().backward()
    encoder.zero_grad(set_to_none=True)
