"""How well does stage 1 tell wrong labels from right ones? Injected noise, so that the truth is known.

    python benchmarks/denoise.py --fewrel val_wiki.json --model_name_or_path all-MiniLM-L6-v2

Flips a share of FewRel's clean labels, runs `run_denoise.py` on them once per seed, and reports, epoch by epoch, how
many labels were first predicted then, how many of those are right, and the AUROC of right against wrong for the first
epoch (as far as it is known by then), the mean probability and the mean margin. Seeds decide on the sample, the flips
and the run. The last line is JSON.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

import run_denoise
from finecl_hf import LearningOrder, read_documents, write_documents
from finecl_hf.distant import flip_labels
from finecl_hf.metrics import auroc


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fewrel", required=True, help="FewRel JSON, such as val_wiki.json")
    parser.add_argument("--model_name_or_path", required=True)
    parser.add_argument("--max_instances", type=int, default=2400)
    parser.add_argument("--rate", type=float, default=0.4, help="share of the labels to flip")
    parser.add_argument("--noise", choices=["uniform", "pair"], default="uniform")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--num_train_epochs", type=int, default=5)
    parser.add_argument("--learning_rate", type=float, default=5e-5)
    parser.add_argument("--per_device_train_batch_size", type=int, default=32)
    args, further = parser.parse_known_args(argv)
    documents = read_documents(args.fewrel)
    start = time.perf_counter()
    runs = []
    for seed in args.seeds:
        chosen = np.random.default_rng(seed).permutation(len(documents))[: args.max_instances]
        noisy, is_clean = flip_labels([documents[i] for i in chosen], args.rate, args.noise, seed)
        runs.append(by_epoch(*denoise(noisy, is_clean, seed, args, further)))
        show(seed, runs[-1])
    result = {
        "corpus": "fewrel", "noise": args.noise, "rate": args.rate, "instances": args.max_instances,
        "seeds": args.seeds, "seconds": round(time.perf_counter() - start),
        "epochs": [summarise([run[epoch] for run in runs]) for epoch in range(args.num_train_epochs)],
    }  # fmt: skip
    print(json.dumps(result))
    return result


def denoise(documents, is_clean, seed, args, further) -> tuple[LearningOrder, np.ndarray]:
    """Runs stage 1 and returns its table with the truth, (N,) bool."""
    with tempfile.TemporaryDirectory() as folder:
        write_documents(documents, f"{folder}/noisy.jsonl")
        flags = {
            "train_file": f"{folder}/noisy.jsonl",
            "output_dir": f"{folder}/run",
            "seed": seed,
            "save_strategy": "no",
            "disable_tqdm": True,
        }
        for name in ("model_name_or_path", "num_train_epochs", "learning_rate", "per_device_train_batch_size"):
            flags[name] = getattr(args, name)
        order = run_denoise.main([*(f"--{name}={value}" for name, value in flags.items()), *further])
    return order, np.array([is_clean[instance] for instance in order.instance_id.to_pylist()])


def by_epoch(order: LearningOrder, is_clean: np.ndarray) -> list[dict[str, float]]:
    rows = []
    for epoch in range(order.num_epochs):
        until = order.correct[:, : epoch + 1]
        first = np.where(until.any(axis=1), until.argmax(axis=1), epoch + 1)  # not yet: later than any
        learned = first == epoch
        rows.append(
            {
                "learned": int(learned.sum()),
                "clean_share": float(is_clean[learned].mean()) if learned.any() else float("nan"),
                "auroc_first_epoch": auroc(-first, is_clean),
                "auroc_probability": auroc(order.probability[:, : epoch + 1].mean(axis=1, dtype=np.float32), is_clean),
                "auroc_margin": auroc(order.margin[:, : epoch + 1].mean(axis=1, dtype=np.float32), is_clean),
            }
        )
    return rows


def summarise(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """Mean and standard deviation over the seeds."""
    return {name: [float(np.mean(v)), float(np.std(v))] for name in rows[0] if (v := [row[name] for row in rows])}


def show(seed: int, rows: list[dict[str, float]]) -> None:
    print(f"\nseed {seed}\n{'epoch':>5}{'learned':>9}{'clean':>7}{'AUROC first':>13}{'probability':>13}{'margin':>8}")
    for epoch, row in enumerate(rows):
        print(
            f"{epoch:>5}{row['learned']:>9,}{row['clean_share']:>7.2f}{row['auroc_first_epoch']:>13.3f}"
            f"{row['auroc_probability']:>13.3f}{row['auroc_margin']:>8.3f}"
        )


if __name__ == "__main__":
    main()
