"""How well does stage 1 tell wrong labels from right ones?

    python benchmarks/denoise.py --corpus fewrel --noise uniform --rate 0.4 --documents val_wiki.json --model ENCODER
    python benchmarks/denoise.py --corpus docred --documents FOLDER --model ENCODER

`fewrel` flips a share of FewRel's clean labels, so the truth is known. `docred` has noise of the real kind: the facts
of Re-DocRED's development documents are a knowledge base, projected by name on DocRED's unlabelled documents and on
the first half of Re-DocRED's test documents, whose gold labels judge the silver ones. FOLDER holds
redocred/dev_revised.json, redocred/test_revised_first250.json and docred/test_unlabelled.json. Settings were chosen on
one half of the judged documents (`--half choose`); figures are those of the other.

For each seed `run_denoise.py` runs once; flags that this script does not know are passed on to it. The seed decides on
the run and, for FewRel, on the sample and the flips. Every score is reported, epoch by epoch, as AUROC, and as average
precision and precision at k (k = number of wrong labels) of the least trusted labels. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32


sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

import run_denoise
from benchmarks.ranking import auroc, average_precision
from finecl_hf import Document, LearningOrder, read_documents, write_documents
from finecl_hf.denoising.recorder import LearningOrderCallback
from finecl_hf.denoising.trainer import DenoiseTrainer
from finecl_hf.distant.knowledge_base import KnowledgeBase, project
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.noise_estimate import noise_of
from finecl_hf.learning_order.trust import RECOMMENDED, SCORES, WITHIN_RELATION, unit_trust
from finecl_hf.synthetic.label_flips import flip_labels


RECIPES = {
    "fewrel": {"num_train_epochs": 5, "learning_rate": 5e-5, "per_device_train_batch_size": 32},
    "docred": {"num_train_epochs": 5, "preset": "projected"},
}
CALIBRATED = [f"{name}{WITHIN_RELATION}" for name in ("probability", "margin", RECOMMENDED)]
FREQUENCY = "relation_frequency"  # not a score: what ranking by nothing else would give


@dataclass
class Corpus:
    """Silver documents, and whether each judged label is right: instance id -> bool."""

    documents: list[Document]
    truth: dict[str, bool]


def main(argv=None):
    args, further = parse(argv)
    start = time.perf_counter()
    runs = [one_run(make_corpus(args, seed), seed, args, further) for seed in args.seeds]
    names = [name for name in runs[0]["scores"][-1] if all(name in run["scores"][-1] for run in runs)]
    scores = {name: summarise([[epoch.get(name) for epoch in run["scores"]] for run in runs]) for name in names}
    result = {
        "corpus": args.corpus,
        **({"noise": args.noise, "rate": args.rate} if args.corpus == "fewrel" else {"half": args.half}),
        "seeds": args.seeds,
        "labels": [run["labels"] for run in runs],
        "judged": [run["judged"] for run in runs],
        "wrong": [run["wrong"] for run in runs],
        "scores": scores,
        "preset": RECOMMENDED,
        "noise_rate": {name: mean_sd([run["noise"][name] for run in runs]) for name in runs[0]["noise"]},
        "recorder_share": float(np.mean([run["recorder_share"] for run in runs])),
        "seconds": round(time.perf_counter() - start),
    }
    show(result)
    print(json.dumps(result))
    return result


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", choices=["fewrel", "docred"], required=True)
    parser.add_argument(
        "--documents", help="FewRel's JSON, or the folder of the corpora; by default FINECL_REAL_DATA's"
    )
    parser.add_argument("--model", required=True, help="encoder to start from")
    parser.add_argument("--noise", choices=["uniform", "pair"], default="uniform", help="fewrel: to any, or the next")
    parser.add_argument("--rate", type=float, default=0.4, help="fewrel: share of the labels to flip")
    parser.add_argument(
        "--half", choices=["choose", "report", "both"], default="report", help="docred: judged documents"
    )
    parser.add_argument("--max_instances", type=int, help="train on about so many labels (fewrel: 2,400)")
    parser.add_argument("--keep", help="folder for the learning order of each seed, to look at it later")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args, further = parser.parse_known_args(argv)
    if args.documents is None:
        if "FINECL_REAL_DATA" not in os.environ:
            parser.error("name the corpus with --documents, or its folder in the variable FINECL_REAL_DATA")
        folder = Path(os.environ["FINECL_REAL_DATA"])
        args.documents = folder / "fewrel" / "val_wiki.json" if args.corpus == "fewrel" else folder
    return args, further


def make_corpus(args, seed: int) -> Corpus:
    if args.corpus == "fewrel":
        documents = read_documents(args.documents)
        chosen = np.random.default_rng(seed).permutation(len(documents))[: args.max_instances or 2400]
        return Corpus(*flip_labels([documents[i] for i in chosen], args.rate, args.noise, seed))
    folder = Path(args.documents)
    knowledge_base = KnowledgeBase.from_documents(read_documents(folder / "redocred" / "dev_revised.json"))
    gold = read_documents(folder / "redocred" / "test_revised_first250.json")
    right = {document.instance_id(fact) for document in gold for fact in document.relations}
    judged = project(gold, knowledge_base)
    truth = {
        instance: instance in right
        for document in judged
        if args.half == "both" or half_of(document) == args.half
        for instance in map(document.instance_id, document.relations)
    }
    others = project(read_documents(folder / "docred" / "test_unlabelled.json"), knowledge_base)
    silver = [document for document in judged + others if document.relations]  # the rest teaches little
    return Corpus(up_to(args.max_instances, silver, seed), truth)


def half_of(document: Document) -> str:
    return "report" if crc32(f"{document.title}x".encode()) % 2 else "choose"


def up_to(count: int | None, documents: list[Document], seed: int) -> list[Document]:
    """Documents in random order until they hold `count` labels."""
    if count is None:
        return documents
    order = np.random.default_rng(seed).permutation(len(documents))
    labels = np.cumsum([len(documents[i].relations) for i in order])
    return [documents[i] for i in order[: np.searchsorted(labels, count) + 1]]


def one_run(corpus: Corpus, seed: int, args, further: list[str]) -> dict:
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
            **RECIPES[args.corpus],
        }
        order = run_denoise.main([*(f"--{name}={value}" for name, value in flags.items()), *further])
    if args.keep:
        order.write(Path(args.keep) / f"{args.corpus}_{seed}.parquet")
    judged = np.array([instance in corpus.truth for instance in order.instance_id.to_pylist()])
    judged &= order.observed.any(axis=1)
    is_right = np.array([corpus.truth.get(instance, True) for instance in order.instance_id.to_pylist()])
    epochs = [scores_of(until(order, epoch + 1), judged, is_right[judged]) for epoch in range(order.num_epochs)]
    return {
        "scores": epochs,
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


def scores_of(order: LearningOrder, judged: np.ndarray, is_right: np.ndarray) -> dict[str, list[float]]:
    """AUROC, average precision and precision at k of every score that this table has."""
    relation = order.relation.dictionary_encode().indices.to_numpy()
    trust = {FREQUENCY: np.bincount(relation)[relation]}
    for name in [*SCORES, *CALIBRATED]:
        try:
            trust[name] = unit_trust(name, order)
        except FineCLError:  # it says nothing of this corpus
            continue
    wrong, k = ~is_right, int((~is_right).sum())
    figures = {}
    for name, values in trust.items():
        lowest = np.argsort(values[judged], kind="stable")[:k]
        doubt = -values[judged].astype(float)
        figures[name] = [auroc(doubt, wrong), average_precision(doubt, wrong), float(wrong[lowest].mean())]
    return figures


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
    main()
