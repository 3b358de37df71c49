"""How well does stage 1 tell wrong labels from right ones?

    python benchmarks/denoise.py --corpus fewrel --noise uniform --rate 0.4 --documents FOLDER --model ENCODER
    python benchmarks/denoise.py --corpus projection --documents FOLDER --model ENCODER

`noisy_corpora.py` has the corpora, and what is chosen and reported on. FOLDER holds them in folders of their names.
For each seed `run_denoise.py` runs once; flags that this script does not know are passed on to it. The seed decides on
the run and, where labels are flipped, on the sample and the flips. Every score is reported, epoch by epoch, as AUROC,
and as average precision and precision at k (k = number of wrong labels) of the least trusted labels, with a 90 %
interval of a bootstrap over documents; beside them the lead of the recommended score over others, the self-test, and
the estimated noise. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

import run_denoise
from benchmarks.noisy_corpora import CORPORA, FLIPPED, NoisyCorpus
from benchmarks.ranking import auroc, average_precision, document_resamples, interval, resampled_auroc
from benchmarks.running import count, run_benchmark
from finecl_hf import LearningOrder, write_documents
from finecl_hf.denoising.recorder import LearningOrderCallback
from finecl_hf.denoising.trainer import DenoiseTrainer
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.noise_estimate import noise_of
from finecl_hf.learning_order.trust import RECOMMENDED, SCORES, WITHIN_RELATION, unit_trust


SENTENCES = {"num_train_epochs": 5, "learning_rate": 5e-5, "per_device_train_batch_size": 32}
PROJECTED = {"num_train_epochs": 5, "preset": "projected"}
CALIBRATED = [f"{name}{WITHIN_RELATION}" for name in ("probability", "margin", RECOMMENDED)]
POINTS_OF_REFERENCE = ("first_epoch", "margin", "plausibility")
FREQUENCY = "relation_frequency"  # not a score: what ranking by nothing else would give


def main(argv=None):
    args, further = parse(argv)
    start = time.perf_counter()
    corpora = (CORPORA[args.corpus](Path(args.documents), args, seed) for seed in args.seeds)
    runs = [one_run(corpus, seed, args, further) for corpus, seed in zip(corpora, args.seeds, strict=True)]
    names = [name for name in runs[0]["scores"][-1] if all(name in run["scores"][-1] for run in runs)]
    scores = {name: summarise([[epoch.get(name) for epoch in run["scores"]] for run in runs]) for name in names}
    resamples = {name: np.mean([run["resamples"][name] for run in runs], axis=0) for name in names}
    for name, values in resamples.items():
        scores[name]["auroc_interval"] = interval(values)
    result = {
        "corpus": args.corpus,
        **({"noise": args.noise, "rate": args.rate} if args.corpus in FLIPPED else {"half": args.half}),
        "seeds": args.seeds,
        "labels": [run["labels"] for run in runs],
        "judged": [run["judged"] for run in runs],
        "wrong": [run["wrong"] for run in runs],
        "scores": scores,
        "preset": RECOMMENDED,
        "lead": {name: lead(scores, resamples, name) for name in POINTS_OF_REFERENCE if name in names},
        "self_test": [asdict(run["self_test"]) if run["self_test"] else None for run in runs],
        "noise_rate": {name: mean_sd([run["noise"][name] for run in runs]) for name in runs[0]["noise"]},
        "recorder_share": float(np.mean([run["recorder_share"] for run in runs])),
        "seconds": round(time.perf_counter() - start),
    }
    show(result)
    print(json.dumps(result))
    return result


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", choices=list(CORPORA), required=True)
    parser.add_argument(
        "--documents", help="FewRel's JSON, or the folder of the corpora; by default FINECL_REAL_DATA's"
    )
    parser.add_argument("--model", required=True, help="encoder to start from")
    parser.add_argument(
        "--noise", choices=["uniform", "pair", "direction"], default="uniform", help="of flipped labels"
    )
    parser.add_argument("--rate", type=float, default=0.4, help="share of the labels to flip")
    parser.add_argument(
        "--half", choices=["choose", "report", "both"], default="report", help="projected: judged documents"
    )
    parser.add_argument("--max_instances", type=count, help="train on about so many labels (flipped ones: 2,400)")
    parser.add_argument("--keep", help="folder for the learning order of each seed, to look at it later")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args, further = parser.parse_known_args(argv)
    if args.documents is None:
        if "FINECL_REAL_DATA" not in os.environ:
            parser.error("name the corpus with --documents, or its folder in the variable FINECL_REAL_DATA")
        args.documents = os.environ["FINECL_REAL_DATA"]
    return args, further


def one_run(corpus: NoisyCorpus, seed: int, args, further: list[str]) -> dict:
    """Runs stage 1 and judges every score after every epoch."""
    with tempfile.TemporaryDirectory() as folder, Stopwatch() as watch:
        write_documents(corpus.documents, f"{folder}/noisy.jsonl")
        flags = {
            "train_file": f"{folder}/noisy.jsonl",
            "output_dir": f"{folder}/run",
            "model_name_or_path": args.model,
            "seed": seed,
            "save_strategy": "no",
            "disable_tqdm": True,
            **(SENTENCES if args.corpus in FLIPPED else PROJECTED),
        }
        order = run_denoise.main([*(f"--{name}={value}" for name, value in flags.items()), *further])
    if args.keep:
        order.write(Path(args.keep) / f"{args.corpus}_{seed}.parquet")
    judged = np.array([instance in corpus.truth for instance in order.instance_id.to_pylist()])
    judged &= order.observed.any(axis=1)
    is_right = np.array([corpus.truth.get(instance, True) for instance in order.instance_id.to_pylist()])
    wrong = ~is_right[judged]
    trust = [judged_trust(until(order, epoch + 1), judged) for epoch in range(order.num_epochs)]
    times = document_resamples(order.title.filter(judged).to_pylist())
    return {
        "scores": [{name: figures(values, wrong) for name, values in epoch.items()} for epoch in trust],
        "resamples": {name: resampled_auroc(-values, wrong, times) for name, values in trust[-1].items()},
        "self_test": order.self_test,
        "labels": len(order),
        "judged": int(judged.sum()),
        "wrong": int((~is_right[judged]).sum()),
        "noise": noise_figures(order, judged, is_right),
        "recorder_share": watch.share,
    }


def until(order: LearningOrder, epochs: int) -> LearningOrder:
    """The table as it was after so many epochs."""
    names = ("probability", "margin", "loss", "correct", "observed")
    return replace(order, **{name: getattr(order, name)[:, :epochs] for name in names})


def judged_trust(order: LearningOrder, judged: np.ndarray) -> dict[str, np.ndarray]:
    """Every score that this table has, of the judged labels."""
    relation = order.relation.dictionary_encode().indices.to_numpy()
    trust = {FREQUENCY: np.bincount(relation)[relation]}
    for name in [*SCORES, *CALIBRATED]:
        try:
            trust[name] = unit_trust(name, order)
        except FineCLError:  # it says nothing of this corpus
            continue
    return {name: values[judged].astype(float) for name, values in trust.items()}


def figures(trust: np.ndarray, wrong: np.ndarray) -> list[float]:
    """AUROC, average precision and precision at k of the least trusted labels."""
    lowest = np.argsort(trust, kind="stable")[: int(wrong.sum())]
    return [auroc(-trust, wrong), average_precision(-trust, wrong), float(wrong[lowest].mean())]


def lead(scores: dict, resamples: dict[str, np.ndarray], name: str) -> list[float]:
    """How far the recommended score's AUROC is ahead of another's, with the interval."""
    ahead = scores[RECOMMENDED]["auroc"][0] - scores[name]["auroc"][0]
    return [round(ahead, 4), *interval(resamples[RECOMMENDED] - resamples[name])]


def noise_figures(order: LearningOrder, judged: np.ndarray, is_right: np.ndarray) -> dict[str, float]:
    """The estimated noise beside the true one, overall and as mean error over relations with 10 judged labels."""
    estimate = noise_of(order)
    relation = np.asarray(order.relation)[judged]
    wrong = {name: (~is_right[judged])[relation == name] for name in np.unique(relation)}
    errors = [abs(row.rate - wrong[row.relation].mean()) for row in estimate.relations
              if len(wrong.get(row.relation, ())) >= 10]  # fmt: skip
    return {
        "estimated": estimate.overall.rate,
        "true": float((~is_right[judged]).mean()),
        "relation_error": float(np.mean(errors)),
        "gap": estimate.gap,
    }


class Stopwatch:
    """Share of the training steps' time that the recorder takes."""

    TIMED = ((LearningOrderCallback, "after_forward"), (LearningOrderCallback, "_close_epoch"))

    def __enter__(self):
        self._recording = self._training = 0.0
        self._originals = [
            (owner, name, getattr(owner, name)) for owner, name in (*self.TIMED, (DenoiseTrainer, "train"))
        ]
        for owner, name, function in self._originals:
            setattr(owner, name, self._timed(function, training=name == "train"))
        return self

    def _timed(self, function, training: bool):
        def timed(*args, **kwargs):
            begin = time.perf_counter()
            result = function(*args, **kwargs)
            spent = time.perf_counter() - begin
            self._training, self._recording = (
                self._training + spent * training,
                self._recording + spent * (not training),
            )
            return result

        return timed

    def __exit__(self, *error):
        for owner, name, function in self._originals:
            setattr(owner, name, function)
        self.share = self._recording / self._training if self._training else float("nan")


def mean_sd(values) -> list[float]:
    return [round(float(np.mean(values)), 4), round(float(np.std(values)), 4)]


def summarise(runs: list[list[list[float]]]) -> dict:
    """Figures (seeds, epochs, 3) of one score: those after the last epoch, and the AUROC of every epoch."""
    figures = np.array(runs)
    by_epoch = [mean_sd(column) for column in figures[:, :, 0].T]
    names = ("auroc", "average_precision", "precision_at_k")
    return {
        **{name: mean_sd(figures[:, -1, i]) for i, name in enumerate(names)},
        "best_epoch": int(np.argmax([mean for mean, _ in by_epoch])),
        "auroc_by_epoch": by_epoch,
    }


def show(result: dict) -> None:
    print(f"\n{'score':<32}{'AUROC':>16}{'AP of wrong':>16}{'P at k':>16}   AUROC by epoch")
    for name, row in sorted(result["scores"].items(), key=lambda item: -item[1]["auroc"][0]):
        columns = "".join(
            f"{f'{row[key][0]:.3f} ± {row[key][1]:.3f}':>16}"
            for key in ("auroc", "average_precision", "precision_at_k")
        )
        print(f"{name:<32}{columns}   {' '.join(f'{mean:.3f}' for mean, _ in row['auroc_by_epoch'])}")


if __name__ == "__main__":
    run_benchmark(main)
