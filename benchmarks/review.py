"""What is a verdict worth? Simulated review of silver labels whose truth is known, and what stage 3 makes of it.

    python benchmarks/review.py --documents FOLDER --stage_1 outputs/denoise --model all-MiniLM-L6-v2 \\
        --judge relabel --labels 200 --seeds 0 1 2

The facts of DocRED's training documents (docred/train_facts.tsv) are projected by name on Re-DocRED's development
documents, whose own labels are the truth, and `--stage_1` is a run on the same silver labels. Then, of `--labels`:

- `nothing`: all stay as they are; `drop`: the least trusted ones go, and nobody looks at them;
- `relabel`: people judge the least trusted ones: right ones stay, wrong ones get what holds of their pair, or go;
- `random`: as many at random are judged so;
- `missing`: the likeliest facts without a label are judged, and the right ones become labels.

Stage 3 learns from what is left with `--loss pu_bce` and is tested on redocred/test_revised_first250.json, once for
each seed; further flags are its own. The last line is JSON: mean and standard deviation over the seeds, how many
judged labels were wrong (of `missing`: right), and how many labels were trained on.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from benchmarks.finetuning import finetune, mean_and_spread
from benchmarks.noisy_corpora import knowledge_base
from benchmarks.running import count, run_benchmark
from finecl_hf import Document, LearningOrder, read_documents, write_documents
from finecl_hf.data.documents import Fact, fact_id
from finecl_hf.distant.knowledge_base import project
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.missing_labels import read_missing
from finecl_hf.learning_order.trust import RECOMMENDED, unit_trust
from finecl_hf.learning_order.verdicts import NO_LABEL, OTHER, RIGHT, WRONG, Verdict, Verdicts


JUDGED = ("nothing", "drop", "relabel", "random", "missing")
RECIPE = {"per_device_train_batch_size": 4, "attention_dropout": 0, "loss": "pu_bce"}


def main(argv=None):
    args, further = parse(argv)
    gold = read_documents(args.documents / "redocred" / "dev_revised.json")[: args.most]
    silver = project(gold, knowledge_base(args.documents / "docred" / "train_facts.tsv"))
    verdicts = judge(args, gold, silver)
    documents = [document for document in map(verdicts.correct, silver) if document.relations]
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        write_documents(documents, Path(folder, "train.json"))
        flags = {**RECIPE, "model_name_or_path": args.model, "train_file": Path(folder, "train.json"),
                 "test_file": args.documents / "redocred" / "test_revised_first250.json",
                 "rel_info": args.documents / "docred" / "rel_info.json"}  # fmt: skip
        for seed in args.seeds:
            figures = finetune({**flags, "seed": seed, "output_dir": Path(folder, f"seed-{seed}")}, further)
            print(f"seed {seed}: {json.dumps(figures)}", flush=True)
            runs.append(figures)
    found = sum(row.sign == (1 if args.judge == "missing" else -1) for row in verdicts.rows)
    result = {"judge": args.judge, "labels": args.labels, "found": found, "seeds": args.seeds,
              "trained_on": sum(len(document.relations) for document in documents)}  # fmt: skip
    for name in ("f1", "ign_f1", "precision", "recall"):
        values = [figures[name] for figures in runs]
        result[name] = mean_and_spread(values)
    print(json.dumps(result))
    return result


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--stage_1", type=Path, required=True, help="output of run_denoise.py on the silver labels")
    parser.add_argument("--model", required=True, help="encoder")
    parser.add_argument("--judge", choices=JUDGED, default="relabel")
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--most", type=count, help="take the first so many documents only")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args, further = parser.parse_known_args(argv)
    if args.labels < (args.judge != "nothing"):
        parser.error(f"--labels {args.labels}: {args.judge} takes 1 or more")
    return args, further


def judge(args, gold: list[Document], silver: list[Document]) -> Verdicts:
    """What people who read the documents would say; of `drop`, that each label is wrong."""
    truth = Truth(gold)
    if args.judge == "nothing":
        return Verdicts([])
    if args.judge == "missing":
        found = [row for row in read_missing(args.stage_1 / "missing_labels.parquet") if truth.knows(row.title)]
        _check_found(args, len(found))
        return Verdicts(truth.of_missing(row.title, row.fact) for row in found[: args.labels])
    labels = {document.instance_id(fact): (document.title, fact) for document in silver for fact in document.relations}
    order = LearningOrder.read(args.stage_1 / "learning_order.parquet")
    names = order.instance_id.to_pylist()
    rows = np.array([row for row, name in enumerate(names) if name in labels], np.int64)
    _check_found(args, len(rows))
    if args.judge == "random":
        rows = np.random.default_rng(args.seeds[0]).permutation(rows)
    else:
        rows = rows[np.argsort(unit_trust(RECOMMENDED, order)[rows], kind="stable")]
    chosen = [labels[names[row]] for row in rows[: args.labels]]
    if args.judge == "drop":
        return Verdicts(verdict(title, fact, WRONG) for title, fact in chosen)
    return Verdicts(truth.of_label(title, fact) for title, fact in chosen)


def _check_found(args, count: int) -> None:
    """Raises FineCLError where nothing could be judged."""
    if not count:
        raise FineCLError(
            f"--stage_1 {args.stage_1}: nothing in it is about the documents of {args.documents}; name a run on their "
            "silver labels."
        )


class Truth:
    """What gold says of labels."""

    def __init__(self, gold: list[Document]):
        self._holds: dict[str, dict[tuple[int, int], list[str]]] = {document.title: {} for document in gold}
        for document in gold:
            for fact in document.relations:
                self._holds[document.title].setdefault((fact.head, fact.tail), []).append(fact.relation)

    def knows(self, title: str) -> bool:
        return title in self._holds

    def of_label(self, title: str, fact: Fact) -> Verdict:
        """Of a wrong label, what holds instead is the first relation of its pair."""
        right = self._holds[title].get((fact.head, fact.tail), [])
        if fact.relation in right:
            return verdict(title, fact, RIGHT)
        return verdict(title, fact, OTHER, right[0]) if right else verdict(title, fact, WRONG)

    def of_missing(self, title: str, fact: Fact) -> Verdict:
        right = self._holds[title].get((fact.head, fact.tail), [])
        return verdict(title, fact, RIGHT if fact.relation in right else WRONG, stratum=NO_LABEL)


def verdict(title: str, fact: Fact, said: str, right_relation: str = "", stratum: str = "") -> Verdict:
    place = title, fact.head, fact.tail, fact.relation
    return Verdict(fact_id(*place), *place, said, right_relation, stratum=stratum)


if __name__ == "__main__":
    run_benchmark(main)
