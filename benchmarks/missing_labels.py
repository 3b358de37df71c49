"""How well does stage 1 find the facts that lack a label?

    python benchmarks/missing_labels.py --documents FOLDER --model ENCODER

Documents with the incomplete labels of DocRED are judged by those of Re-DocRED, which hold three times as many facts
of the same entities. FOLDER holds docred/incomplete_labels.json and rel_info.json, redocred/dev_revised.json and
redocred/test_revised_first250.json. Stage 1 is trained on all of them without gold. The score was chosen on the
documents of the development set (`choose`); the figures that count are those of the test set's (`report`).

Ranked are all relations of all pairs without a label; what is right is a fact of Re-DocRED. For each seed
`run_denoise.py` runs once; flags that this script does not know are passed on to it. For every score: average
precision with its 95 % interval (documents drawn anew 200 times), its ratio to that of the probability with the
interval, and precision at 100, 500, 1,000 and k, where k is the number of missing facts: there, recall is the same.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

import run_denoise
from benchmarks.ranking import average_precision
from benchmarks.running import run_benchmark
from finecl_hf import Document, read_documents
from finecl_hf.denoising.missing import SIGNS, MissingLabels


GOLD = {"choose": "dev_revised", "report": "test_revised_first250"}
RECIPE = {"num_train_epochs": 5, "preset": "projected"}
BASELINE = "probability"
TOP = (100, 500, 1000)
DRAWS = 200  # of documents, for the intervals
DEEP = 200_000  # ranks that the intervals look at; what lies below has no weight


def main(argv=None):
    args, further = parse(argv)
    start = time.perf_counter()
    runs = [one_run(args, seed, further) for seed in args.seeds]
    result = {
        "seeds": args.seeds,
        **{half: merged([run[half] for run in runs]) for half in GOLD},
        "seconds": round(time.perf_counter() - start),
    }
    show(result)
    print(json.dumps(result))
    return result


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=Path, help="the folder of the corpora; by default FINECL_REAL_DATA's")
    parser.add_argument("--model", required=True, help="encoder to start from")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    args, further = parser.parse_known_args(argv)
    if args.documents is None:
        if "FINECL_REAL_DATA" not in os.environ:
            parser.error("name the folder of the corpora with --documents, or in the variable FINECL_REAL_DATA")
        args.documents = Path(os.environ["FINECL_REAL_DATA"])
    return args, further


def one_run(args, seed: int, further: list[str]) -> dict:
    """Runs stage 1 and judges every score."""
    gold = {half: read_documents(args.documents / "redocred" / f"{name}.json") for half, name in GOLD.items()}
    with tempfile.TemporaryDirectory() as folder, Collected(gold) as collected:
        flags = {
            "output_dir": folder,
            "train_file": args.documents / "docred" / "incomplete_labels.json",
            "rel_info": args.documents / "docred" / "rel_info.json",
            "model_name_or_path": args.model,
            "seed": seed,
            "save_strategy": "no",
            "disable_tqdm": True,
            "report": False,
            "probe_share": 0,
            **RECIPE,
        }
        run_denoise.main([*(f"--{name}={value}" for name, value in flags.items()), *further])
    return {half: figures(collected.found[half]) for half in GOLD}


class Collected:
    """What the pass over all pairs finds in the documents that have gold, instead of the best only.

    Attributes:
        found: by half, for each of its documents (P, R) arrays: each of `SIGNS`, and `right`, whether gold says so.
    """

    def __init__(self, gold: dict[str, list[Document]]):
        self.gold = {document.title: (half, document) for half, documents in gold.items() for document in documents}
        self.found: dict[str, list[dict[str, np.ndarray]]] = {half: [] for half in gold}

    def __enter__(self):
        self._keep = keep = MissingLabels._keep

        def collecting(labels, at, document, pairs, signs):
            if document.title in self.gold:
                self.take(document, pairs, signs, labels.relations)
            keep(labels, at, document, pairs, signs)

        MissingLabels._keep = collecting
        return self

    def __exit__(self, *error):
        MissingLabels._keep = self._keep

    def take(self, document: Document, pairs: np.ndarray, signs: dict[str, np.ndarray], relations: list[str]) -> None:
        half, gold = self.gold[document.title]
        if gold.sentences != document.sentences or places(gold) != places(document):
            raise SystemExit(f"{document.title}: the entities of gold and silver differ.")
        number = {relation: place for place, relation in enumerate(relations)}
        row = {tuple(pair): place for place, pair in enumerate(pairs.tolist())}
        right = np.zeros((len(pairs), len(relations)), bool)
        for fact in gold.relations:
            if (fact.head, fact.tail) in row:
                right[row[fact.head, fact.tail], number[fact.relation]] = True
        columns = {name: values[:, 1:].astype(np.float32) for name, values in signs.items()}
        self.found[half].append({**columns, "right": right[:, 1:]})


def places(document: Document) -> list[list[tuple[int, int, int]]]:
    """Where each entity is mentioned."""
    return [
        sorted({(mention.sent_id, mention.start, mention.end) for mention in group}) for group in document.entities
    ]


def figures(found: list[dict[str, np.ndarray]]) -> dict:
    """The figures of every score, of what was found in D documents."""
    signs = {name: np.concatenate([part[name] for part in found]) for name in (*SIGNS, "right")}
    right = signs["right"]
    counts = signs["plausibility"] + signs["support"]
    with np.errstate(invalid="ignore"):  # relations that no label has
        text = np.nan_to_num(signs["score"] - counts, nan=-np.inf)
    best = signs[BASELINE].max(axis=1, keepdims=True)
    scores = {
        BASELINE: signs[BASELINE],
        "probability, one relation a pair": np.where(signs[BASELINE] == best, signs[BASELINE], -1),
        "margin": signs["margin"],
        "text: logit over NA's": text,
        "plausibility": signs["plausibility"],
        "support": signs["support"],
        "plausibility + support": counts,
        "text + plausibility": signs["score"] - signs["support"],
        "score: all three": signs["score"],
    }
    document = np.repeat(np.arange(len(found)), [len(part["right"]) for part in found])
    draws = np.random.default_rng(0).multinomial(len(found), np.full(len(found), 1 / len(found)), DRAWS)
    drawn = {name: drawn_precisions(values, right, document, draws) for name, values in scores.items()}
    return {
        "documents": len(found),
        "pairs": len(right),
        "missing": int(right.sum()),
        "scores": {
            name: ranked(values.ravel(), right.ravel())
            | {"interval": interval(drawn[name]), "ratio_interval": interval(drawn[name] / drawn[BASELINE])}
            for name, values in scores.items()
        },
    }


def ranked(scores: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Average precision, and precision at some ranks, of (N,) candidates."""
    order = np.argsort(-scores, kind="stable")
    found = right[order]
    at = {f"precision_at_{k}": float(found[:k].mean()) for k in TOP}
    return {"average_precision": average_precision(scores, right), **at,
            "precision_at_k": float(found[: right.sum()].mean())}  # fmt: skip


def drawn_precisions(scores: np.ndarray, right: np.ndarray, document: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """(S,) average precision where each document counts as often as it is drawn.

    Args:
        scores, right: (P, R); document: (P,) of the pairs.
        draws: (S, D) how often each document is drawn.
    """
    top = np.argsort(-scores.ravel(), kind="stable")[:DEEP]
    of_rank, hit = document[top // right.shape[1]], right.ravel()[top]
    total = draws @ np.bincount(document, right.sum(axis=1), draws.shape[1])
    precisions = []
    for times, count in zip(draws, total, strict=True):
        weight = times[of_rank]
        found, seen = np.cumsum(weight * hit), np.cumsum(weight)
        precisions.append((weight * hit * found / np.maximum(seen, 1)).sum() / count)
    return np.array(precisions)


def interval(values: np.ndarray) -> list[float]:
    return [float(value) for value in np.quantile(values, [0.025, 0.975])]


def merged(runs: list[dict]) -> dict:
    """The mean over the seeds of each figure of a half."""
    scores = {
        name: {figure: np.round(np.mean([run["scores"][name][figure] for run in runs], axis=0), 4).tolist()
               for figure in row}
        for name, row in runs[0]["scores"].items()
    }  # fmt: skip
    return {**runs[0], "scores": scores}


def show(result: dict) -> None:
    for half in GOLD:
        found = result[half]
        print(f"\n{half}: {found['missing']:,} facts are missing among {found['pairs']:,} pairs without a label of "
              f"{found['documents']} documents")  # fmt: skip
        heads = "".join(f"{head:>8}" for head in [*(f"P@{k}" for k in TOP), "P@k"])
        print(f"{'score':<34}{'AP (95 %)':>22}{'times probability':>22}{heads}")
        base = found["scores"][BASELINE]["average_precision"]
        for name, row in sorted(found["scores"].items(), key=lambda item: item[1]["average_precision"]):
            (low, high), (less, more) = row["interval"], row["ratio_interval"]
            figure = f"{row['average_precision']:.3f} ({low:.3f}, {high:.3f})"
            ratio = f"{row['average_precision'] / base:.2f} ({less:.2f}, {more:.2f})"
            cells = "".join(f"{row[f'precision_at_{k}']:>8.3f}" for k in (*TOP, "k"))
            print(f"{name:<34}{figure:>22}{ratio:>22}{cells}")


if __name__ == "__main__":
    run_benchmark(main)
