"""How well is learned where most true facts carry no label? DocRED's own labels, judged by Re-DocRED's.

    python benchmarks/incomplete.py --incomplete incomplete_labels.json --gold dev_revised.json \\
        --test_file test_revised.json --rel_info rel_info.json --model all-MiniLM-L6-v2 --seeds 66 --loss pu_bce

`--incomplete` and `--gold` hold the same documents with few and with all labels; others of either file are left out.
The last 50 of them are kept aside, the others train with their few labels in `run_finetune.py`, which gets whatever
else is given. `--choose` judges on the gold documents that have no incomplete labels, to choose settings by. The test
documents are judged with the threshold as training left it (0, the logit of NA), with the one fitted on the 50
documents with their few labels, and fitted on them with all labels. The last line is JSON: mean and standard deviation
of F1 over the seeds, by threshold.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.finetuning import finetune, mean_and_spread
from benchmarks.running import run_benchmark
from finecl_hf import Document, read_documents, write_documents


ASIDE = 50
RECIPE = {"num_train_epochs": 8, "per_device_train_batch_size": 4, "attention_dropout": 0}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--incomplete", required=True, help="documents with incomplete labels")
    parser.add_argument("--gold", required=True, help="documents with complete labels, many of them the same")
    parser.add_argument("--test_file", required=True, help="documents with complete labels")
    parser.add_argument("--model", required=True, help="encoder")
    parser.add_argument("--loss", default="adaptive_threshold")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--choose", action="store_true", help="judge on gold documents without incomplete labels")
    parser.add_argument("--output_dir", help="keep the runs here; default: a temporary folder")
    args, further = parser.parse_known_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(args.output_dir or folder)
        folder.mkdir(parents=True, exist_ok=True)
        parts = split(read_documents(args.incomplete), read_documents(args.gold))
        if not args.choose:
            parts["judged"] = read_documents(args.test_file)
        for name, documents in parts.items():
            write_documents(documents, folder / f"{name}.json")
        runs = [run(args, folder, seed, parts, further) for seed in args.seeds]
    result = {"loss": args.loss, "seeds": args.seeds, "judged_on": "gold" if args.choose else args.test_file}
    for name in runs[0]:
        values = [figures[name]["f1"] for figures in runs]
        result[name] = mean_and_spread(values)
    print(json.dumps(result))
    return result


def split(incomplete: list[Document], gold: list[Document]) -> dict[str, list[Document]]:
    """`train` and `few`, with incomplete labels; `all`, the documents of `few` with all labels; `judged`, the others
    of gold."""
    complete = {document.title: document for document in gold}
    both = [document for document in incomplete if document.title in complete]
    if len(both) <= ASIDE:
        raise SystemExit(f"Only {len(both)} documents have incomplete and gold labels; {ASIDE} are kept aside.")
    titles = {document.title for document in both}
    few = both[-ASIDE:]
    return {
        "train": both[:-ASIDE],
        "few": few,
        "all": [complete[document.title] for document in few],
        "judged": [document for document in gold if document.title not in titles],
    }


def run(args, folder: Path, seed: int, parts: dict[str, list[Document]], further: list[str]) -> dict[str, dict]:
    """One training, and its figures by threshold."""
    output = folder / f"seed-{seed}"
    flags = {**RECIPE, "model_name_or_path": args.model, "loss": args.loss, "seed": seed, "output_dir": output}
    flags |= {"train_file": folder / "train.json", "validation_file": folder / "all.json"}
    finetune(flags, further)
    figures = judge(output, parts)
    print(f"seed {seed}: {json.dumps(figures)}", flush=True)
    return figures


def judge(folder: Path, parts: dict[str, list[Document]]) -> dict[str, dict[str, float]]:
    """F1, precision, recall and threshold on the documents to be judged: as trained, and fitted on either labels."""
    from finecl_hf import FineCLForRelationExtraction, FinetuneTrainer
    from finecl_hf.extraction.arguments import FinetuneArguments
    from finecl_hf.extraction.predictions import fit_decision, score_documents
    from finecl_hf.training.arguments import ModelArguments
    from finecl_hf.training.loading import load_encoder

    model = FineCLForRelationExtraction.from_pretrained(folder)
    config = model.config
    options = ModelArguments(model_name_or_path=str(folder), max_seq_length=config.max_seq_length)
    encoder = load_encoder(options, config.label2id, config.long_documents)
    arguments = FinetuneArguments(str(folder), report_to="none", disable_tqdm=True)
    trainer = FinetuneTrainer(model=model, args=arguments, processing_class=encoder.tokenizer)
    found = {name: trainer.predict(encoder.dataset(parts[name])).predictions for name in ("few", "judged")}
    figures = {}
    for name, fitted_on in (("as_trained", None), ("few_labels", parts["few"]), ("all_labels", parts["all"])):
        config.threshold = 0.0
        if fitted_on is not None:
            fit_decision(fitted_on, found["few"], config)
        scores = score_documents(parts["judged"], found["judged"], config, parts["train"])
        figures[name] = {key: round(scores[key], 4) for key in ("f1", "ign_f1", "precision", "recall")}
        figures[name]["threshold"] = round(config.threshold, 3)
    return figures


if __name__ == "__main__":
    run_benchmark(main)
