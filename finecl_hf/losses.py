"""The losses as functions of tensors: nothing here knows a model.

Similarities and log-sum-exps are computed in float32 or better under any autocast.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F


def relation_discrimination_loss(
    embeddings: torch.Tensor,
    weights: torch.Tensor,
    positive_mask: torch.Tensor,
    negative_mask: torch.Tensor,
    temperature: float = 0.05,
) -> torch.Tensor:
    """FineCL's weighted contrastive loss over relation instances (arXiv 2205.12491, section 3.2).

    For each True entry (a, p) of `positive_mask`, with `s` the cosine similarity and `t` the temperature:

        -exp(w_a) * log( exp(s_ap / t) / ( exp(s_ap / t) + sum_{n in N(a)} exp(w_n) exp(s_an / t) ) )

    With every weight 0 this is ERICA's unweighted loss (Qin et al., ACL 2021).

    Args:
        embeddings: (N, D), not normalised.
        weights: (N,) reliability of each instance in [0, 1].
        positive_mask: (N, N) bool, True at [a, p] where p is a partner of anchor a.
        negative_mask: (N, N) bool, True at [a, n] where n is in N(a).

    Returns:
        Mean over the True entries of `positive_mask`; a zero that keeps the graph where there are none.
    """
    anchors = torch.arange(len(embeddings), device=embeddings.device)
    terms = relation_discrimination_terms(embeddings, weights, positive_mask, negative_mask, anchors, temperature)
    return terms.sum() / max(len(terms), 1)


def relation_discrimination_terms(
    embeddings: torch.Tensor,
    weights: torch.Tensor,
    positive_mask: torch.Tensor,
    negative_mask: torch.Tensor,
    anchors: torch.Tensor,
    temperature: float = 0.05,
) -> torch.Tensor:
    """The terms that [`relation_discrimination_loss`] is the mean of, where only some rows are anchors.

    Args:
        embeddings: (N, D); weights: (N,).
        positive_mask, negative_mask: (A, N) bool.
        anchors: (A,) row of each anchor.

    Returns:
        (P,) one for each True of `positive_mask`; it keeps the graph, also where it is empty.
    """
    row, partner = positive_mask.nonzero(as_tuple=True)
    if len(row) == 0:
        return embeddings.sum(dim=1)[:0]
    used, row = row.unique(return_inverse=True)  # anchors without a partner need no similarity
    similarity = _cosine_similarity(embeddings[anchors[used]], embeddings) / temperature  # (A', N)
    weights = weights.to(similarity.dtype)
    negatives = (similarity + weights).masked_fill(~negative_mask[used], -torch.inf)
    log_negatives = negatives.logsumexp(dim=1)  # (A',), -inf for an anchor without negatives
    positive = similarity[row, partner]
    # Rows that are taken more than once: `index_select` adds up their gradients in one order, see `take_rows`
    log_ratio = positive - torch.logaddexp(positive, log_negatives.index_select(0, row))
    return -weights[anchors[used]][row].exp() * log_ratio


def entity_discrimination_loss(
    queries: torch.Tensor,
    candidates: torch.Tensor,
    positive: torch.Tensor,
    candidate_mask: torch.Tensor,
    temperature: float = 0.05,
) -> torch.Tensor:
    """ERICA's entity discrimination (Qin et al., ACL 2021, section 3.2) as plain InfoNCE.

    Args:
        queries: (Q, D) head entity in a document prefixed with relation and head name.
        candidates: (C, D) entities.
        positive: (Q,) long, the candidate that is the tail.
        candidate_mask: (Q, C) bool, the candidates each query chooses from; the positive always counts, once.

    Returns:
        Mean over the queries; a zero that keeps the graph where there are none.
    """
    terms = entity_discrimination_terms(queries, candidates, positive, candidate_mask, temperature)
    return terms.sum() / max(len(terms), 1)


def entity_discrimination_terms(
    queries: torch.Tensor,
    candidates: torch.Tensor,
    positive: torch.Tensor,
    candidate_mask: torch.Tensor,
    temperature: float = 0.05,
) -> torch.Tensor:
    """(Q,) terms that [`entity_discrimination_loss`] is the mean of; they keep the graph, even without any."""
    if len(queries) == 0:
        return (queries.sum() + candidates.sum()).expand(1)[:0]
    similarity = _cosine_similarity(queries, candidates) / temperature  # (Q, C)
    chosen_from = candidate_mask.scatter(1, positive[:, None], True)
    return F.cross_entropy(similarity.masked_fill(~chosen_from, -torch.inf), positive, reduction="none")


def binary_relation_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The paper's classification loss: binary cross-entropy averaged over pairs and relations, NA among them.

    Args:
        logits: (P, R).
        targets: (P, R) bool, several relations may hold; column 0 (NA) marks pairs without a relation.
    """
    if len(logits) == 0:
        return logits.sum() * 0.0
    return F.binary_cross_entropy_with_logits(at_least_float32(logits), targets.to(at_least_float32(logits).dtype))


def softmax_relation_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each gold label against all labels that are not gold for its pair (arguments as above).

    For a single label this is the ordinary softmax cross-entropy; a pair's other gold labels do not compete.
    """
    if len(logits) == 0:
        return logits.sum() * 0.0
    logits = at_least_float32(logits)
    pair, relation = targets.nonzero(as_tuple=True)
    gold = logits[pair, relation]
    others = logits.masked_fill(targets, -torch.inf).logsumexp(dim=1)
    return (torch.logaddexp(gold, others.index_select(0, pair)) - gold).mean()


def adaptive_threshold_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """ATLOP's loss (Zhou et al., AAAI 2021, section 3.3): NA's logit is each pair's own threshold.

    Gold relations are pushed above it, all others below (arguments as above).
    """
    if len(logits) == 0:
        return logits.sum() * 0.0
    logits = at_least_float32(logits)
    threshold = torch.zeros_like(targets)
    threshold[:, 0] = True
    gold = targets & ~threshold
    pair, relation = gold.nonzero(as_tuple=True)
    above = logits.masked_fill(~(gold | threshold), -torch.inf).logsumexp(dim=1)
    below = logits.masked_fill(gold, -torch.inf).logsumexp(dim=1)
    return ((above.index_select(0, pair) - logits[pair, relation]).sum() + (below - logits[:, 0]).sum()) / len(logits)


LABEL_WEIGHT = 3.0


def pu_bce_loss(
    logits: torch.Tensor, targets: torch.Tensor, priors: torch.Tensor, pair_weight: torch.Tensor | None = None
) -> torch.Tensor:
    """[`positive_unlabelled_loss`] with the logistic loss, log(1 + exp(-margin)).

    Labels weigh `LABEL_WEIGHT` times as much, so that a relation is above NA from a probability of 1 in 4 on: F1 is
    best at half of its own best value (Lipton, Elkan and Naryanaswamy, ECML 2014), which lies near 1 in 2 here.

    Args:
        logits: (P, R).
        targets: (P, R) bool; column 0 (NA) marks pairs without a label.
        priors: (2, R) shares of all pairs that carry each label and that truly have the relation; NA's mean nothing.
        pair_weight: (P,) how many pairs each one stands for, where some were drawn; all 1 if None.
    """
    return positive_unlabelled_loss(
        logits, targets, priors, pair_weight, lambda margin: F.softplus(-margin), LABEL_WEIGHT
    )


def pu_ranking_loss(
    logits: torch.Tensor, targets: torch.Tensor, priors: torch.Tensor, pair_weight: torch.Tensor | None = None
) -> torch.Tensor:
    """[`positive_unlabelled_loss`] with SSR-PU's squared ranking loss, (margin - 1/4)^2 / 4 (arguments as above).

    As there, a relation's labels weigh sqrt((1 - true share) / true share) times as much: squares are slow to learn
    what is rare.
    """
    true = torch.where(priors[0] > 0, priors[1], 0.5).clamp(1e-9, 1)  # one without a label weighs 1
    return positive_unlabelled_loss(
        logits, targets, priors, pair_weight, lambda margin: 0.25 * (margin - 0.25) ** 2, ((1 - true) / true).sqrt()
    )


def positive_unlabelled_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    priors: torch.Tensor,
    pair_weight: torch.Tensor | None,
    surrogate: Callable[[torch.Tensor], torch.Tensor],
    label_weight: torch.Tensor | float,
) -> torch.Tensor:
    """SSR-PU's risk under prior shift (Wang et al., EMNLP 2022): a pair without a label may yet have the relation.

    Each relation is a binary problem, with the logit over NA's as its score f. Of all pairs, the share p has the
    relation, l carries its label, and u = (p - l) / (1 - l) of the others have it, too. With labels L, all other pairs
    U, and s the surrogate, the risk is estimated as below; no part of it may fall below 0 (nnPU, Kiryo et al.,
    NeurIPS 2017).

        p mean_L s(f) + max(0, (1 - p) / (1 - u) mean_U s(-f) - u (1 - p) / (1 - u) mean_L s(-f))

    where (1 - p) / (1 - u) = 1 - l. With l and 1 - l taken from the batch's n pairs, and F = p / l, that is

        1 / n ( F sum_L s(f) + max(0, sum_U s(-f) - (F - 1) sum_L s(-f)) )

    so that a batch without a label of the relation has its say, too. Where all true facts carry a label (F = 1) it is
    the ordinary risk. As in the paper, the first term is weighted.

    Args:
        logits, targets, priors, pair_weight: see [`pu_bce_loss`].
        surrogate: the loss of a margin, f for a positive and -f for a negative.
        label_weight: of s(f), one for all relations or (R,).

    Returns:
        Sum over relations; a zero that keeps the graph where there is no pair.
    """
    if len(logits) == 0:
        return logits.sum() * 0.0
    score = at_least_float32(logits)
    score = score[:, 1:] - score[:, :1]
    labelled = targets[:, 1:]
    factor = (priors[1] / priors[0].clamp(min=1e-9)).clamp(min=1).to(score.dtype)[1:]
    weight = torch.ones_like(score[:, 0]) if pair_weight is None else pair_weight.to(score.dtype)
    as_positive, as_negative = surrogate(score), surrogate(-score)
    label_weight = torch.as_tensor(label_weight, dtype=score.dtype, device=score.device).expand(len(priors[0]))[1:]
    found = label_weight * factor * as_positive.masked_fill(~labelled, 0).sum(dim=0)
    unlabelled = weight @ as_negative.masked_fill(labelled, 0)
    hidden = (factor - 1) * as_negative.masked_fill(~labelled, 0).sum(dim=0)
    return (found + (unlabelled - hidden).clamp(min=0)).sum() / weight.sum()


def evidence_loss(evidence: torch.Tensor, pair: torch.Tensor, sentence: torch.Tensor) -> torch.Tensor:
    """How far predicted evidence is from the gold sentences: `KL(gold || predicted)`, gold being uniform over a pair's
    evidence sentences (DREEAM, Ma et al., EACL 2023, equation 8).

    Args:
        evidence: (P, S) share of each sentence, of sum 1 or less.
        pair, sentence: (K,) gold evidence; repetitions count once.

    Returns:
        Mean over the pairs that have evidence; a zero that keeps the graph where none has.
    """
    evidence = at_least_float32(evidence)
    gold = torch.zeros_like(evidence)
    gold[pair, sentence] = 1
    gold = gold / gold.sum(dim=1, keepdim=True).clamp(min=1)
    divergence = torch.special.xlogy(gold, gold) - gold * (evidence + 1e-8).log()
    return divergence.sum() / gold.any(dim=1).sum().clamp(min=1)


RELATION_LOSSES = {
    "bce": binary_relation_loss,
    "softmax": softmax_relation_loss,
    "adaptive_threshold": adaptive_threshold_loss,
}
PU_LOSSES = {"pu_bce": pu_bce_loss, "pu_ranking": pu_ranking_loss}  # these read priors, too


def relation_loss(
    name: str,
    logits: torch.Tensor,
    targets: torch.Tensor,
    priors: list[list[float]] | None = None,
    pair_weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """The classification loss of a name, one of `RELATION_LOSSES` or `PU_LOSSES`.

    Args:
        logits, targets: (P, R).
        priors, pair_weight: for `PU_LOSSES` alone: labelled and true share of each relation, (R, 2); (P,), see there.
    """
    if name not in PU_LOSSES:
        return RELATION_LOSSES[name](logits, targets)
    shares = torch.tensor(priors, dtype=torch.float32, device=logits.device).T
    return PU_LOSSES[name](logits, targets, shares, pair_weight)


def relation_targets(
    label_pair: torch.Tensor, label_relation: torch.Tensor, num_pairs: int, num_relations: int
) -> torch.Tensor:
    """Multi-hot targets from sparse labels; a pair without a label is NA.

    Args:
        label_pair, label_relation: (N,) pair and relation of each label.

    Returns:
        (P, R) bool.
    """
    targets = torch.zeros(num_pairs, num_relations, dtype=torch.bool, device=label_pair.device)
    targets[label_pair, label_relation] = True
    targets[:, 0] = ~targets.any(dim=1)
    return targets


def _cosine_similarity(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    with torch.autocast(left.device.type, enabled=False):
        left, right = (F.normalize(at_least_float32(side), dim=-1) for side in (left, right))
        return left @ right.T


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """Values of 16 bits in float32, others as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
