"""Confident learning: each label judged by a model that never saw its document (needs the extra `confident_learning`).

Northcutt, Jiang and Chuang (JAIR 2021) rank labels by the probabilities of cross-validated models, as their package
`cleanlab` implements it. The documents are split into K folds; a fresh model learns from all folds but one and judges
the labels of the one left out. That costs K more trainings than the learning order, which comes with a single one.
Shapes: D documents, N labels of the corpus, n judged labels, P pairs, R relations with NA (id 0).
"""

from __future__ import annotations

import copy
import gc
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset

from finecl_hf.data.arrow import arrow_column
from finecl_hf.data.files import replacing
from finecl_hf.denoising.arguments import DenoiseArguments
from finecl_hf.encoding.features import for_training
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.trainer import RelationTrainer, classify
from finecl_hf.hashing import mix
from finecl_hf.training.checkpoints import describe_run, is_checkpoint, last_checkpoint, refuse_another_run, write_run


logger = logging.getLogger(__name__)

FOLDS = "_folds"  # in the output folder; the underscore keeps it out of what the Trainer pushes to the Hub
JUDGEMENTS = "judgements.npz"  # in a fold's folder; written last, so that it marks the fold as finished
FOLD_DRAW = 41  # keeps this draw apart from others made of the same keys
NA_THRESHOLD = 0.5


def require_cleanlab() -> None:
    """Raises FineCLError where cleanlab is not installed: to be known before hours of training."""
    try:
        import cleanlab  # noqa: F401
    except ImportError as error:
        raise FineCLError(
            'confident learning needs cleanlab, which is not installed; run `pip install "finecl_hf['
            'confident_learning]"` or `pip install cleanlab`.'
        ) from error


def fold_of(keys: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(D,) int, in [0, folds): the fold of each document, by a hash of its key and the seed.

    The documents are dealt out in the order of their hashes, so that folds differ by one document at most, and the
    order of the corpus has no influence.

    Args:
        keys: (D,) int64, all different.

    Raises:
        FineCLError: there are more folds than documents.
    """
    keys = np.asarray(keys, np.int64)
    if len(keys) < folds:
        raise FineCLError(f"--cross_fit_folds {folds} is more than the {len(keys):,} training documents; give fewer.")
    fold = np.empty(len(keys), np.int64)
    fold[np.argsort(mix(FOLD_DRAW, seed, keys), kind="stable")] = np.arange(len(keys)) % folds
    return fold


def label_probabilities(
    logits: torch.Tensor, label_pair: torch.Tensor, label_relation: torch.Tensor, loss: str
) -> torch.Tensor:
    """Class probabilities of the pair of each label, in which its other gold labels do not compete.

    Args:
        logits: (P, R).
        label_pair, label_relation: (n,).
        loss: the loss of the model: for `bce` the relations' own probabilities are divided by their sum.

    Returns:
        (n, R) float32; each row sums to 1 and is 0 where the pair has another gold label.
    """
    judged, row = label_pair.unique(return_inverse=True)  # most pairs are NA and have no label to judge
    logits = logits.detach()[judged].float()
    if loss == "bce":
        logits = torch.nn.functional.logsigmoid(logits)  # a softmax of log-probabilities divides by their sum
    gold = torch.zeros_like(logits, dtype=torch.bool)
    gold[row, label_relation] = True
    others = gold[row]
    others[torch.arange(len(row), device=row.device), label_relation] = False
    return logits[row].masked_fill(others, -torch.inf).softmax(dim=1)


def quality_scores(probabilities: np.ndarray, relation: np.ndarray) -> np.ndarray:
    """cleanlab's label quality: self-confidence, adjusted for the confidence that is usual of the relation.

    The probability of a label less the mean probability of all labels of its relation, shifted and scaled alike for
    all. Self-confidence and not the margin, because NA is no label of the corpus and has no usual confidence: cleanlab
    would not let it compete in an adjusted margin, but it is what most wrong labels should be. In self-confidence it
    takes its share of the probability. The adjustment is what confident learning adds: rare relations are predicted
    with less confidence without being wrong more often.

    Args:
        probabilities: (n, R) out-of-fold probabilities, rows sum to 1.
        relation: (n,) int, of each label.

    Returns:
        (n,) float32 in [0, 1], higher for a more trustworthy label. Only their order means something: the values lie
        close together where R is large, because cleanlab divides by a sum over all relations.

    Raises:
        FineCLError: cleanlab is not installed.
    """
    require_cleanlab()
    from cleanlab.rank import get_label_quality_scores

    if not len(relation):
        return np.zeros(0, np.float32)
    scores = get_label_quality_scores(relation, probabilities, method="self_confidence", adjust_pred_probs=True)
    return scores.astype(np.float32)


def error_rates(probabilities: np.ndarray, relation: np.ndarray) -> dict[int, float]:
    """Estimated share of wrong labels of each relation, from the confident joint.

    The models are confident of a relation where its probability reaches the mean over the labels of that relation, and
    of NA, which no label has, from `NA_THRESHOLD` on. Labels of whose pair they are confident of nothing are left out
    of the count; of the others those are wrong where the relation they are most confident of is not the label's. Rates
    of rare relations are too high where the models hardly learned them.

    Args:
        probabilities, relation: as for [`quality_scores`].

    Returns:
        relation -> share in [0, 1), for the relations that occur.

    Raises:
        FineCLError: cleanlab is not installed.
    """
    require_cleanlab()
    from cleanlab.count import compute_confident_joint, get_confident_thresholds

    if not len(relation):
        return {}
    thresholds = get_confident_thresholds(relation, probabilities)
    if not (relation == 0).any():
        thresholds[0] = NA_THRESHOLD
    joint = compute_confident_joint(relation, probabilities, thresholds=thresholds, calibrate=False)  # (R, R)
    return {int(r): float(1 - joint[r, r] / joint[r].sum()) for r in np.unique(relation)}


@dataclass
class Judgements:
    """What models said of labels that they had not seen.

    Attributes:
        instance: (n,) int64 rows of the learning order, ascending.
        relation: (n,) int64.
        probabilities: (n, R) float32, see [`label_probabilities`].
    """

    instance: np.ndarray
    relation: np.ndarray
    probabilities: np.ndarray

    @classmethod
    def of(cls, parts: list[Judgements]) -> Judgements:
        """The labels of several parts, each once: a process repeats documents to fill its last batch."""
        instance, relation, probabilities = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("instance", "relation", "probabilities")
        )
        known, first = np.unique(instance, return_index=True)
        first = first[known >= 0]
        return cls(instance[first], relation[first], probabilities[first])

    @classmethod
    def read(cls, path: str | os.PathLike) -> Judgements:
        with np.load(path) as arrays:
            return cls(**arrays)

    def write(self, path: Path) -> None:
        with replacing(path) as file:
            np.savez(file, **vars(self))


class FoldTrainer(RelationTrainer):
    """Trains on all folds but one, and judges the labels of that one."""

    def judge(self, dataset: Dataset) -> Judgements:
        """One evaluation pass, dropout off; every process returns the judgements of all."""
        model = self.model_wrapped
        model.eval()
        config = self.accelerator.unwrap_model(self.model).config
        parts = [
            Judgements(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, config.num_labels), np.float32))
        ]
        for inputs in self.get_eval_dataloader(dataset):
            inputs = self._prepare_inputs(inputs)
            with torch.no_grad(), self.accelerator.autocast():
                logits = classify(model, inputs).logits
            probabilities = label_probabilities(logits, inputs["label_pair"], inputs["label_relation"], config.loss)
            judged = (inputs["instance"], inputs["label_relation"], probabilities)
            parts.append(Judgements(*(values.cpu().numpy() for values in judged)))
        return Judgements.of(gather_object(parts))


def cross_fit(features: Dataset, build: Callable[..., FoldTrainer], args: DenoiseArguments) -> Judgements:
    """Judges every label of the corpus by a model that did not learn from its document, one model at a time.

    Each fold has a folder in `output_dir/_folds`. Started again, finished folds are read from there and the others
    resume from their last checkpoint.

    Args:
        features: (D,) of the corpus, with the columns `key` and `instance`.
        build: `build(FoldTrainer, features, args)` makes a trainer with a fresh model.

    Raises:
        FineCLError: fewer documents than folds, or a folder belongs to another run.
    """
    folds = args.cross_fit_folds
    fold = fold_of(arrow_column(features, "key").to_numpy(), folds, args.seed)
    parts = []
    for number in range(folds):
        logger.info("Confident learning: model %d of %d, which judges the documents it does not learn from.",
                    number + 1, folds)  # fmt: skip
        rest, judged = (features.select(np.flatnonzero(chosen)) for chosen in (fold != number, fold == number))
        trainer = build(FoldTrainer, rest, _fold_arguments(args, f"{number + 1}_of_{folds}"))
        parts.append(_judgements(trainer, for_training(judged)))
        del trainer  # before the next model is made
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return Judgements.of(parts)


def cross_fitted_scores(
    features: Dataset, build: Callable[..., FoldTrainer], args: DenoiseArguments, rows: int
) -> np.ndarray:
    """(rows,) float32 [`quality_scores`] for a learning order; NaN for labels that truncation put out of reach.

    Args:
        features, build, args: as for [`cross_fit`], which see for errors raised.
    """
    require_cleanlab()
    judgements = cross_fit(features, build, args)
    scores = np.full(rows, np.nan, np.float32)
    scores[judgements.instance] = quality_scores(judgements.probabilities, judgements.relation)
    rates = error_rates(judgements.probabilities, judgements.relation)
    wrong = sum(rates[r] for r in judgements.relation.tolist()) / max(len(judgements.relation), 1)
    logger.info("Confident learning: about %.0f%% of the %s labels look wrong.",
                100 * wrong, f"{len(judgements.relation):,}")  # fmt: skip
    return scores


def _fold_arguments(args: DenoiseArguments, name: str) -> DenoiseArguments:
    """The same arguments for a model that nobody is told of."""
    args = copy.copy(args)
    args.output_dir = os.path.join(args.output_dir, FOLDS, name)
    args.push_to_hub, args.report_to = False, []
    return args


def _judgements(trainer: FoldTrainer, held_out: Dataset) -> Judgements:
    """Trains and judges, or reads what a finished fold left behind."""
    folder = Path(trainer.args.output_dir)
    lengths = {f"--{name}": str(getattr(trainer.args, name)) for name in ("num_train_epochs", "max_steps")}
    run = describe_run(trainer) | lengths  # a finished fold cannot be trained for longer
    if (folder / JUDGEMENTS).exists():
        refuse_another_run(str(folder), run)
        return Judgements.read(folder / JUDGEMENTS)
    trainer.train(resume_from_checkpoint=last_checkpoint(str(folder)))
    judgements = trainer.judge(held_out)
    if trainer.is_world_process_zero():
        write_run(str(folder), run)
        judgements.write(folder / JUDGEMENTS)
        for checkpoint in filter(is_checkpoint, map(str, folder.iterdir())):
            shutil.rmtree(checkpoint)
    return judgements
