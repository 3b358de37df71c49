"""Confident learning, as a baseline for the learning order: each label judged by a model that never saw its document.

    pip install cleanlab
    python examples/confident_learning.py --model_name_or_path bert-base-uncased --train_file silver.json \\
        --folds 3 --output order.parquet
    finecl-hf clean order.parquet silver.json clean.json --score probability --share 0.8

Northcutt, Jiang and Chuang (JAIR 2021) rank labels by the probabilities of cross-validated models, as their package
`cleanlab` implements it. That costs K more trainings, where the learning order comes with a single one. The output is
a learning order of one epoch whose probability is cleanlab's score, so that whatever takes one takes it, too.
"""

import argparse

import numpy as np
import torch
from cleanlab.rank import get_label_quality_scores
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments, set_seed

from finecl_hf import FineCLConfig, FineCLForRelationExtraction, LearningOrder
from finecl_hf.data.corpus import iter_corpus, load_corpus, relation_counts
from finecl_hf.encoding.batches import RelationCollator
from finecl_hf.encoding.encoders import load_tokenizer
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.training.loading import label_set


def main(argv=None) -> LearningOrder:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_name_or_path", required=True)
    parser.add_argument("--train_file", required=True)
    parser.add_argument("--output", required=True, help="ends in .parquet")
    parser.add_argument("--output_dir", default="outputs/folds")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--max_seq_length", type=int, default=512)
    parser.add_argument("--num_train_epochs", type=float, default=5)
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args(argv)
    corpus = load_corpus(args.train_file)
    tokenizer, label2id = load_tokenizer(args.model_name_or_path), label_set(relation_counts(corpus), {}, fixed=False)
    features = DocumentEncoder(tokenizer, label2id, args.max_seq_length).encode_corpus(corpus).with_format("numpy")
    fold = np.random.default_rng(args.seed).permutation(len(features)) % args.folds
    keys, labels, probabilities = [], [], []
    for number in range(args.folds):
        rest, judged = (features.select(np.flatnonzero(chosen)) for chosen in (fold != number, fold == number))
        model = train(rest, label2id, tokenizer.pad_token_id, args, f"{args.output_dir}/{number}")
        for batch in DataLoader(judged, batch_size=8, collate_fn=RelationCollator(tokenizer.pad_token_id)):
            keys.append(batch["fact_key"])
            labels.append(batch["label_relation"])
            probabilities.append(label_probabilities(model, batch))
    keys, labels, probabilities = (torch.cat(parts).numpy() for parts in (keys, labels, probabilities))
    # Self-confidence and not the margin: NA is no label, so cleanlab would not let it compete in an adjusted margin.
    quality = get_label_quality_scores(labels, probabilities, method="self_confidence", adjust_pred_probs=True)
    order = LearningOrder.for_documents(iter_corpus(corpus))
    rows = order.rows_of(keys)
    score, observed = np.zeros(len(order), np.float32), np.zeros(len(order), bool)
    score[rows], observed[rows] = quality, True
    order.record_epoch(score, score - np.median(quality), score > np.median(quality), observed)
    order.write(args.output)
    return order


def train(features: Dataset, label2id: dict[str, int], pad_token_id: int, args, folder: str):
    """A fresh model, trained on the documents of all folds but one by transformers' own Trainer."""
    set_seed(args.seed)
    config = FineCLConfig.for_labels(label2id, loss="softmax", max_seq_length=args.max_seq_length)
    model = FineCLForRelationExtraction.from_encoder(args.model_name_or_path, config)
    arguments = TrainingArguments(
        folder, num_train_epochs=args.num_train_epochs, learning_rate=args.learning_rate, seed=args.seed,
        per_device_train_batch_size=16, remove_unused_columns=False, save_strategy="no", report_to=[],
    )  # fmt: skip
    Trainer(model, arguments, train_dataset=features, data_collator=RelationCollator(pad_token_id, 3.0)).train()
    return model.eval()


@torch.no_grad()
def label_probabilities(model: FineCLForRelationExtraction, batch: dict) -> torch.Tensor:
    """(N, R) class probabilities of the pair of each label, in which its other gold labels do not compete."""
    batch = {name: value.to(model.device) if hasattr(value, "to") else value for name, value in batch.items()}
    logits = model(**batch).logits.float()
    pair, relation = batch["label_pair"], batch["label_relation"]
    gold = torch.zeros_like(logits, dtype=torch.bool)
    gold[pair, relation] = True
    others = gold[pair]
    others[torch.arange(len(pair)), relation] = False
    return logits[pair].masked_fill(others, -torch.inf).softmax(dim=1).cpu()


if __name__ == "__main__":
    main()
