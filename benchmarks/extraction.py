"""How good is a head? Trains, fits the threshold and judges on held-out documents, once for each seed.

    python benchmarks/extraction.py --corpus redocred --documents redocred --model all-MiniLM-L6-v2 --seeds 66 67 68
    python benchmarks/extraction.py --corpus semeval --documents semeval2010 --model all-MiniLM-L6-v2 --seeds 0 1 2
    python benchmarks/extraction.py --corpus cdr --documents cdr --model all-MiniLM-L6-v2

`--documents` is the corpus's folder as it is published; or name `--train_file`, `--validation_file` and `--test_file`.
Each run is `run_finetune.py` in a process of its own; whatever else is given goes to it. `--choose` judges on part of
the training documents instead of the test documents, to choose settings by. The last line is JSON: mean and standard
deviation over the seeds.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path
from statistics import mean


sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.finetuning import finetune, mean_and_spread
from benchmarks.running import run_benchmark
from finecl_hf import read_documents, write_documents
from finecl_hf.data.symmetric import both_ways


# What to train on, and to test on. Re-DocRED's training documents are not needed: dev has 500.
FILES = {
    "redocred": ("dev_revised.json", "test_revised*.json"),
    "semeval": ("TRAIN_FILE.TXT", "TEST_FILE_FULL.TXT"),
    "biored": ("Train.PubTator", "Dev.PubTator"),
    "cdr": ("CDR_TrainingSet.PubTator.txt*", "CDR_DevelopmentSet.PubTator.txt*"),
}
ASIDE = 50  # of the training documents, which choose the threshold; sentences need none
CHOOSE = {"semeval": 1000, "biored": 50}  # training documents that --choose judges on; of the others 100
RECIPES = {
    "redocred": {"num_train_epochs": 8, "per_device_train_batch_size": 4},
    "biored": {"num_train_epochs": 8, "per_device_train_batch_size": 4},
    "cdr": {"num_train_epochs": 8, "per_device_train_batch_size": 4},
    "semeval": {"task": "sentence", "per_device_train_batch_size": 16},
}
FIGURES = (
    "f1",
    "ign_f1",
    "intra_f1",
    "inter_f1",
    "semeval_macro_f1",
    "co_occurrence_fpr",
    "ece",
    "precision",
    "recall",
)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", choices=sorted(RECIPES), required=True)
    parser.add_argument("--documents", help="folder of the corpus")
    parser.add_argument("--train_file")
    parser.add_argument("--validation_file")
    parser.add_argument("--test_file")
    parser.add_argument("--model", required=True, help="encoder")
    parser.add_argument("--head")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--choose", action="store_true", help="judge on training documents that are set aside")
    parser.add_argument("--output_dir", help="keep the runs here; default: a temporary folder")
    args, further = parser.parse_known_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(args.output_dir or folder)
        folder.mkdir(parents=True, exist_ok=True)
        files = files_of(args, folder)
        runs = [run(args, files, folder / f"seed-{seed}", seed, further) for seed in args.seeds]
    result = {"corpus": args.corpus, "head": args.head, "seeds": args.seeds}
    for name in FIGURES:
        values = [figures[name] for figures in runs if name in figures]
        if values:
            result[name] = mean_and_spread(values)
    result["epoch_seconds"] = round(mean(figures["epoch_seconds"] for figures in runs), 1)
    result["peak_rss_mb"] = max(figures["peak_rss_mb"] for figures in runs)
    print(json.dumps(result))
    return result


def files_of(args, folder: Path) -> dict[str, str]:
    """The files of a run; parts of the published ones are written into the folder."""
    named = {name: getattr(args, name) for name in ("train_file", "validation_file", "test_file")}
    if named["train_file"]:
        return {name: file for name, file in named.items() if file}
    if not args.documents:
        raise SystemExit("Name the corpus's folder with --documents, or the three files.")
    train_file, test_file = (next(iter(sorted(Path(args.documents).glob(name))), None) for name in FILES[args.corpus])
    if train_file is None or test_file is None:
        raise SystemExit(
            f"{args.documents} does not hold {' and '.join(FILES[args.corpus])}; name the corpus's folder."
        )
    documents, tested_on = read_documents(train_file), str(test_file)
    if args.corpus == "biored":  # its relations have no direction, whatever the order in the file
        documents = list(map(both_ways, documents))
        tested_on = str(folder / "test_file.json")
        write_documents(map(both_ways, read_documents(test_file)), tested_on)
    if args.corpus == "semeval":  # its last 891 sentences are of an older task and unlike the others
        documents = random.Random(0).sample(documents, len(documents))
    aside = ASIDE if args.corpus != "semeval" else 0
    tested = CHOOSE.get(args.corpus, 100) if args.choose else 0
    parts = {
        "train_file": documents[: len(documents) - aside - tested],
        "validation_file": documents[len(documents) - aside :] if aside else [],
        "test_file": documents[len(documents) - aside - tested : len(documents) - aside] if tested else [],
    }
    files = {} if tested else {"test_file": tested_on}
    if args.corpus == "redocred":
        for folder_of_names in (Path(args.documents), Path(args.documents, "..", "docred")):  # DocRED's 96 relations
            if (folder_of_names / "rel_info.json").is_file():
                files["rel_info"] = str(folder_of_names / "rel_info.json")
    for name, part in parts.items():
        if part:
            files[name] = str(folder / f"{name}.json")
            write_documents(part, files[name])
    return files


def run(args, files: dict[str, str], output: Path, seed: int, further: list[str]) -> dict[str, float]:
    """One training and its figures on the test file."""
    flags = {**RECIPES[args.corpus], "model_name_or_path": args.model, "seed": seed, "output_dir": output, **files}
    figures = finetune(flags | ({"head": args.head} if args.head else {}), further)
    print(f"seed {seed}: {json.dumps(figures)}", flush=True)
    return figures


if __name__ == "__main__":
    run_benchmark(main)
