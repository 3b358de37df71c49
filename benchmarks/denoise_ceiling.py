"""How far could the real benchmark's labels be told apart with gold labels to learn from?

    python benchmarks/denoise.py --corpus docred --documents FOLDER --model ENCODER --keep kept
    python benchmarks/denoise_ceiling.py --documents FOLDER kept/docred_0.parquet

A logistic regression learns from gold which silver labels are right, in ten folds of documents, from what stage 1
recorded (the scores and the margin of each epoch), from the relation and the two types, or from both. Its AUROC is
what these signals hold when gold teaches how to combine them; `evidence` combines them without any. All judged
documents count, both halves. The last line is JSON. Needs scikit-learn.
"""

import argparse
import json
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.noisy_corpora import docred
from benchmarks.ranking import auroc
from benchmarks.running import run_benchmark
from finecl_hf import LearningOrder
from finecl_hf.learning_order.trust import RECOMMENDED, unit_trust


SIGNALS = (RECOMMENDED, "plausibility", "probability", "margin", "loss", "times_correct")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("orders", nargs="+", help="learning orders that benchmarks/denoise.py kept")
    parser.add_argument("--documents", required=True, help="folder of the corpora")
    args = parser.parse_args(argv)
    corpus = docred(Path(args.documents), argparse.Namespace(half="both", max_instances=None), seed=0)
    results = [ceiling(LearningOrder.read(path), corpus) for path in args.orders]
    means = {name: round(float(np.mean([result[name] for result in results])), 4) for name in results[0]}
    for name, value in means.items():
        print(f"{name:<34}{value:.3f}")
    print(json.dumps(means))
    return means


def ceiling(order: LearningOrder, corpus) -> dict[str, float]:
    instances = order.instance_id.to_pylist()
    rows = np.flatnonzero([instance in corpus.truth for instance in instances] & order.observed.any(axis=1))
    is_right = np.array([corpus.truth[instances[row]] for row in rows])
    documents = {document.title: document for document in corpus.documents}
    titles, relations = np.asarray(order.title)[rows], np.asarray(order.relation)[rows]
    kinds = [
        "|".join(documents[title].entities[entity][0].type for entity in pair)
        for title, pair in zip(titles, zip(order.head[rows], order.tail[rows], strict=True), strict=True)
    ]
    recorded = np.stack([unit_trust(name, order)[rows] for name in SIGNALS], axis=1)
    recorded = StandardScaler().fit_transform(np.hstack([recorded, order.margin[rows].astype(float)]))
    known = OneHotEncoder(min_frequency=5, handle_unknown="infrequent_if_exist", sparse_output=False).fit_transform(
        np.stack([relations, kinds], axis=1)
    )
    return {
        f"{RECOMMENDED}, without gold": auroc(unit_trust(RECOMMENDED, order)[rows], is_right),
        "gold: relation and types": cross_validated(known, is_right, titles),
        "gold: what stage 1 recorded": cross_validated(recorded, is_right, titles),
        "gold: both": cross_validated(np.hstack([known, recorded]), is_right, titles),
    }


def cross_validated(features: np.ndarray, is_right: np.ndarray, titles: np.ndarray) -> float:
    """AUROC of probabilities for documents that the regression did not see."""
    predicted = np.zeros(len(is_right))
    for train, test in GroupKFold(10).split(features, is_right, titles):
        model = LogisticRegression(C=0.3, max_iter=2000).fit(features[train], is_right[train])
        predicted[test] = model.predict_proba(features[test])[:, 1]
    return auroc(predicted, is_right)


if __name__ == "__main__":
    run_benchmark(main)
