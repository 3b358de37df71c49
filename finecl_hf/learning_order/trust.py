"""Scores of training dynamics: how far each label is to be trusted, from one run of stage 1.

Pure functions of what the recorder keeps (N labels, E epochs): `probability` of the label, `margin` of its logit over
the best other one, `loss` = -log(probability), `correct`, and `observed`, (N, E) each; entries that were not observed
count for nothing. [`SCORES`] names them for `--weight_by` and the report: there each is higher for a more trustworthy
label, in [0, 1], and the lowest of all for a label that was never observed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from finecl_hf.errors import FineCLError


_BLOCK = 1 << 16  # rows whose float32 copies are in memory at a time
TEXT_WEIGHT, CALIBRATION = 0.25, 0.5  # of the evidence; chosen on Re-DocRED dev (docs/denoising.md)
FEW_LABELS = 5  # how many labels the median of all is worth beside a relation's own
RECOMMENDED = "evidence"  # the best on the benchmarks of docs/denoising.md
_WITHOUT_DYNAMICS = ("first_epoch", "plausibility")
WITHIN_RELATION = "_within_relation"  # behind a score's name: its rank among the labels of the same relation


def unit_trust(name: str, order: Any) -> np.ndarray:
    """(N,) the score of a name in [`SCORES`], or of one followed by [`WITHIN_RELATION`], in [0, 1].

    What people have judged is certain: 1 for a right label and 0 for a wrong one, whatever the score.

    Raises:
        FineCLError: there is no such score, it leaves [0, 1], or the table has no training dynamics.
    """
    check_weight_by(name)
    return np.where(order.verdict == 0, _score(name, order), order.verdict > 0)


def _score(name: str, order: Any) -> np.ndarray:
    """[`unit_trust`] by the training dynamics alone."""
    base = name.removesuffix(WITHIN_RELATION) if name not in SCORES else name
    judged = order.judged if base in _WITHOUT_DYNAMICS else order.observed.any(axis=1)
    if not judged.all() and judged.any():  # those that were never judged must not move the scale of the others
        scores = np.zeros(len(judged))
        scores[judged] = _score(name, order.select(judged))
        scores[~judged] = scores[judged].min()
        return scores
    scores = np.asarray(SCORES[base](order))
    if not ((scores >= 0) & (scores <= 1)).all():
        raise FineCLError(f'the score "{base}" leaves [0, 1]; map it there, for instance with unit_ranks.')
    if base == name:
        return scores
    if len(order.relation) and not any(order.relation.unique().to_pylist()):
        raise FineCLError(
            f'the labels\' relations are not in this learning order, so "{name}" cannot rank within them.'
        )
    return ranks_within(scores, _codes(order.relation))


def check_weight_by(name: str) -> None:
    """Raises FineCLError unless there is such a score."""
    if name not in SCORES and name.removesuffix(WITHIN_RELATION) not in SCORES:
        raise FineCLError(
            f'there is no score "{name}"; take one of {", ".join(SCORES)}, or one of these followed by '
            f"{WITHIN_RELATION}."
        )


def choose_labels(
    trust: np.ndarray, keys: np.ndarray, *, threshold: float | None = None, share: float | None = None
) -> np.ndarray:
    """Which labels to keep.

    Args:
        trust: (N,) float, higher for a more trustworthy label.
        keys: (N,) int64 of the facts; among labels of equal trust they decide, so that neither the order of the rows
            nor the alphabet does.
        threshold: keep what is trusted this far or farther.
        share: keep this share of the labels, the most trusted ones.

    Returns:
        (N,) bool.

    Raises:
        FineCLError: unless exactly one of `threshold` and `share` is given, and within [0, 1].
    """
    if (threshold is None) == (share is None):
        raise FineCLError("say which labels to keep by a threshold or by a share, one of the two.")
    name, value = ("threshold", threshold) if share is None else ("share", share)
    if not 0 <= value <= 1:
        raise FineCLError(f"the {name} {value} is out of range; it lies between 0 and 1.")
    trust = np.asarray(trust, np.float64)
    if trust.shape != (len(keys),) or np.isnan(trust).any():
        raise FineCLError(f"each of the {len(keys):,} labels needs one trust, found shape {trust.shape}.")
    if share is None:
        return trust >= threshold
    count = round(share * len(trust))
    keep = np.zeros(len(trust), bool)
    if count:
        border = np.partition(trust, len(trust) - count)[len(trust) - count]
        keep = trust > border
        tied = np.flatnonzero(trust == border)
        keep[tied[np.argsort(keys[tied], kind="stable")[: count - keep.sum()]]] = True
    return keep


def unit_ranks(values: np.ndarray) -> np.ndarray:
    """(N,) any numbers -> (N,) their ranks spread over [0, 1]; ties share their mean rank."""
    return (pd.Series(values).rank().to_numpy() - 1) / max(len(values) - 1, 1)


def unit_logistic(values: np.ndarray) -> np.ndarray:
    """(N,) any numbers -> (N,) in (0, 1): the logistic function of twice their distance from the mean, in standard
    deviations. Unlike ranks it keeps two humps apart.
    """
    values = np.asarray(values, np.float64)
    spread = values.std()
    return 1 / (1 + np.exp(-2 * np.clip((values - values.mean()) / spread, -100, 100))) if spread else values * 0 + 0.5


def ranks_within(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(N,) numbers, (N,) int groups -> (N,) mid-rank of each number among those of its group, in (0, 1).

    A rare relation is learned late without being wrong; ranks within the relation put all relations on one scale. The
    only label of a relation gets 0.5.
    """
    groups = pd.Series(values).groupby(group)
    return ((groups.rank() - 0.5) / groups.transform("size")).to_numpy()


def mean_over_epochs(values: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """(N, E), (N, E) bool -> (N,) float32 mean over the observed epochs; 0 where there are none."""
    _refuse_unobserved(observed)
    return _mean(values, observed)


def _mean(values: np.ndarray, observed: np.ndarray) -> np.ndarray:
    return np.sum(values, axis=1, dtype=np.float32, where=observed) / np.maximum(observed.sum(axis=1), 1)


def variability(probability: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """(N,) in [0, 0.5]: standard deviation of the label's probability over the epochs.

    Dataset cartography (Swayamdipta et al., EMNLP 2020): high for ambiguous labels. Taken alone it does not order
    labels by trust, since labels that are easy and labels that are never learned both vary little.
    """
    return _by_rows(_variability, probability, observed)


def _variability(probability: np.ndarray, observed: np.ndarray) -> np.ndarray:
    mean = _mean(probability, observed)
    squares = np.square(probability.astype(np.float32) - mean[:, None])
    return np.sqrt(_mean(squares, observed))


def consistent_epoch(correct: np.ndarray, observed: np.ndarray, times: int = 2) -> np.ndarray:
    """(N,) int: the epoch in which the label had been predicted `times` epochs running for the first time, -1 never.

    Late Stopping (Yuan, Feng and Liu, ICCV 2023) calls this first-time k-epoch learning. With `times` above the
    number of epochs, all of them must be correct.
    """
    times = max(min(times, correct.shape[1]), 1)
    run = np.zeros(len(correct), np.int32)
    found = np.full(len(correct), -1, np.int32)
    for epoch in range(correct.shape[1]):
        run = np.where(observed[:, epoch], np.where(correct[:, epoch], run + 1, 0), run)
        found[(run >= times) & (found < 0)] = epoch
    return found


def forgetting_events(correct: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """(N,) int: how often a label that was predicted was not when seen next; E for one that never was.

    Toneva et al. (ICLR 2019), where an example that is never learned counts as forgotten without end.
    """
    events, predicted = np.zeros((2, len(correct)), np.int32)
    for epoch in range(correct.shape[1]):
        seen = observed[:, epoch]
        events += (predicted > 0) & seen & ~correct[:, epoch]
        predicted = np.where(seen, correct[:, epoch], predicted)
    return np.where((correct & observed).any(axis=1), events, correct.shape[1])


def error_norm(probability: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """(N, E) float32 in [0, sqrt(2)]: norm of (predicted distribution - label).

    EL2N (Paul, Ganguli and Dziugaite, NeurIPS 2021), from the probabilities of the label and of its strongest rival,
    which the margin gives; what the other relations share among them is left out. Exact for two classes, else too low
    by at most the square of that share under the root.
    """
    probability = probability.astype(np.float32)
    return np.sqrt(np.square(1 - probability) + np.square(rival_probability(probability, margin)))


def rival_probability(probability: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Probability of the strongest other class, float32 in [0, 1 - probability], for a softmax."""
    probability, margin = probability.astype(np.float32), margin.astype(np.float32)
    with np.errstate(over="ignore"):
        return np.minimum(np.exp(np.log(np.maximum(probability, 1e-37)) - margin), 1 - probability)


def second_look(first_epoch_score: np.ndarray, probability: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """(N,) in [0, 1]: trust by first epoch, taken back where the later model is sure of something else.

    The idea of Early Cutting (Yuan et al., 2025, arXiv 2502.08227): wrong labels that are learned early hurt most, and
    a later state of the model contradicts them with confidence. There labels of high loss and high confidence are cut;
    here trust is multiplied by 1 - the probability of the rival where it wins.

    Args:
        first_epoch_score: (N,) in [0, 1].
        probability, margin: (N,) of the last epoch.
    """
    return first_epoch_score * np.where(margin < 0, 1 - rival_probability(probability, margin), 1.0)


def _by_rows(function: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """(N,) what a function makes of (N, E) arrays, in blocks of rows: its float32 copies of them stay small."""
    _refuse_unobserved(arrays[-1])
    parts = [function(*(array[i : i + _BLOCK] for array in arrays)) for i in range(0, len(arrays[0]), _BLOCK)]
    return np.concatenate(parts)


def _refuse_unobserved(observed: np.ndarray) -> None:
    if not observed.any():
        raise FineCLError("this learning order has no training dynamics, only first epochs; weight by first_epoch.")


def _first_epoch(order: Any) -> np.ndarray:
    """1 for a label learned in the first epoch, falling to 0 for one never learned (FineCL, section 3.1)."""
    epochs = max(order.correct.shape[1], int(order.first_epoch.max(initial=-1)) + 1, 1)
    return np.where(order.first_epoch < 0, 0.0, 1.0 - order.first_epoch / epochs)


def _consistent_epoch(order: Any) -> np.ndarray:
    _refuse_unobserved(order.observed)
    found = consistent_epoch(order.correct, order.observed)
    return np.where(found < 0, 0.0, 1.0 - found / order.correct.shape[1])


def _last_observed(values: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """(N,) value of each label's last observed epoch, 0 where there is none."""
    last = observed.shape[1] - 1 - observed[:, ::-1].argmax(axis=1)
    rows = np.arange(len(values))
    return np.where(observed[rows, last], values[rows, last], 0).astype(np.float32)


def _second_look(order: Any) -> np.ndarray:
    _refuse_unobserved(order.observed)
    last = (_last_observed(values, order.observed) for values in (order.probability, order.margin))
    return second_look(_first_epoch(order), *last)


def calibrated_margin(order: Any) -> np.ndarray:
    """(N,) mean margin of each label, minus `CALIBRATION` times the median of those of its relation.

    Models learn frequent and simple relations sooner than others, however many of their labels are wrong. The median
    takes half of that off; all of it would hide relations that are wrong as a whole. The median of a rare relation is
    drawn towards that of all labels.
    """
    margin = mean_over_epochs(order.margin, order.observed)
    return margin - CALIBRATION * _medians(margin, order)


def log_evidence(order: Any) -> np.ndarray:
    """(N,) evidence that a label is right, without bounds: what the text says, and how plausible it is without text.

    `plausibility + TEXT_WEIGHT * calibrated margin`. In a corpus without NA pairs the plausibility is 0.
    """
    return order.plausibility + TEXT_WEIGHT * calibrated_margin(order)


def _medians(margin: np.ndarray, order: Any) -> np.ndarray:
    """(N,) median of the relation's judged labels, shrunk towards the median of all."""
    judged, relation = order.observed.any(axis=1), _codes(order.relation)
    overall = float(np.median(margin[judged]))
    groups = pd.Series(margin[judged]).groupby(relation[judged])
    own, counts = groups.median(), groups.size()
    medians = (counts * own + FEW_LABELS * overall) / (counts + FEW_LABELS)
    return medians.reindex(relation, fill_value=overall).to_numpy()


def _el2n(order: Any) -> np.ndarray:
    norm = _by_rows(
        lambda probability, margin, observed: _mean(error_norm(probability, margin), observed),
        order.probability, order.margin, order.observed,
    )  # fmt: skip
    return 1.0 - np.clip(norm / np.sqrt(2.0), 0.0, 1.0)


def _forgetting(order: Any) -> np.ndarray:
    _refuse_unobserved(order.observed)
    return 1.0 - forgetting_events(order.correct, order.observed) / order.correct.shape[1]


def _plausibility(order: Any) -> np.ndarray:
    if len(order.plausibility) > 1 and np.ptp(order.plausibility) == 0:
        raise FineCLError(
            "plausibility says nothing of these labels: every judged pair of the corpus has one, or the file does not "
            "hold it; take another score, such as first_epoch."
        )
    return unit_ranks(order.plausibility)


def _codes(strings: Any) -> np.ndarray:
    return strings.dictionary_encode().indices.to_numpy(zero_copy_only=False)


# A table -> (N,) in [0, 1], higher for a more trustworthy label. Add yours as SCORES["name"] = f.
SCORES: dict[str, Callable[[Any], np.ndarray]] = {
    "first_epoch": _first_epoch,
    "consistent_epoch": _consistent_epoch,
    # share of the epochs in which the label was predicted
    "times_correct": lambda order: mean_over_epochs(order.correct, order.observed),
    # dataset cartography's confidence (Swayamdipta et al., EMNLP 2020): mean over the epochs
    "probability": lambda order: np.clip(mean_over_epochs(order.probability, order.observed), 0.0, 1.0),
    "variability": lambda order: 1.0 - 2.0 * np.clip(variability(order.probability, order.observed), 0.0, 0.5),
    # AUM (Pleiss et al., NeurIPS 2020), as a rank, because margins have no fixed scale
    "margin": lambda order: unit_ranks(mean_over_epochs(order.margin, order.observed)),
    # small loss is trustworthy (Arpit et al., ICML 2017): exp(-mean loss), the geometric mean of the probability
    "loss": lambda order: np.exp(-mean_over_epochs(order.loss, order.observed)),
    "forgetting": _forgetting,
    "el2n": _el2n,
    "second_look": _second_look,
    # a rank, because its scale is that of the corpus
    "plausibility": _plausibility,
    "evidence": lambda order: unit_logistic(log_evidence(order)),
}  # fmt: skip
