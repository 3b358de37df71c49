import math

import pytest
import torch
import torch.nn.functional as F

from finecl_hf.losses import (
    PU_LOSSES,
    RELATION_LOSSES,
    adaptive_threshold_loss,
    binary_relation_loss,
    entity_discrimination_loss,
    pu_bce_loss,
    relation_discrimination_loss,
    relation_targets,
    softmax_relation_loss,
)


def _cosine(left, right):
    dot = sum(a * b for a, b in zip(left, right, strict=True))
    return dot / math.sqrt(sum(a * a for a in left)) / math.sqrt(sum(b * b for b in right))


def _relation_loss_slowly(embeddings, weights, positive_mask, negative_mask, t):
    """DESIGN's formula, term by term, on Python floats."""
    z, w = embeddings.tolist(), weights.tolist()
    terms = []
    for a, p in positive_mask.nonzero().tolist():
        positive = math.exp(_cosine(z[a], z[p]) / t)
        negatives = sum(
            math.exp(w[n]) * math.exp(_cosine(z[a], z[n]) / t) for n in range(len(z)) if negative_mask[a, n]
        )
        terms.append(-math.exp(w[a]) * math.log(positive / (positive + negatives)))
    return sum(terms) / len(terms)


def _entity_loss_slowly(queries, candidates, positive, candidate_mask, t):
    terms = []
    for q, query in enumerate(queries.tolist()):
        scores = [math.exp(_cosine(query, candidate) / t) for candidate in candidates.tolist()]
        others = sum(s for c, s in enumerate(scores) if candidate_mask[q, c] and c != positive[q])
        terms.append(-math.log(scores[positive[q]] / (scores[positive[q]] + others)))
    return sum(terms) / len(terms)


def _instances(seed, n=12, dim=5):
    """Random masks with several partners for some anchors, and an anchor without negatives."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(n, dim, dtype=torch.double, generator=generator) * 3
    weights = torch.rand(n, dtype=torch.double, generator=generator)
    kind = torch.rand(n, n, generator=generator)
    kind.fill_diagonal_(0.5)
    positive, negative = kind < 0.15, kind > 0.6
    positive[0, 1], negative[0] = True, False
    return embeddings, weights, positive, negative


def _queries(seed, q=5, c=9, dim=4):
    generator = torch.Generator().manual_seed(seed)
    queries, candidates = (torch.randn(n, dim, dtype=torch.double, generator=generator) for n in (q, c))
    positive = torch.randint(c, (q,), generator=generator)
    mask = torch.rand(q, c, generator=generator) < 0.5
    mask[0] = False  # nothing but the positive
    mask[1, positive[1]], mask[2, positive[2]] = True, False  # the positive counts once, listed or not
    return queries, candidates, positive, mask


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_relation_discrimination_equals_the_loop(seed, temperature):
    instances = _instances(seed)
    loss = relation_discrimination_loss(*instances, temperature)
    assert loss.dtype == torch.double
    assert loss.item() == pytest.approx(_relation_loss_slowly(*instances, temperature), rel=1e-9)


def test_the_default_temperature_is_the_papers():
    instances, queries = _instances(0), _queries(0)
    assert relation_discrimination_loss(*instances) == relation_discrimination_loss(*instances, 0.05)
    assert entity_discrimination_loss(*queries) == entity_discrimination_loss(*queries, 0.05)


def test_with_weights_of_zero_it_is_ericas_loss():
    embeddings, _, _, _ = _instances(0)
    classes = torch.arange(12) % 3
    positive = torch.zeros(12, 12, dtype=torch.bool)
    positive[torch.arange(12), (torch.arange(12) + 3) % 12] = True
    negative = classes[:, None] != classes
    similarity = F.cosine_similarity(embeddings[:, None], embeddings, dim=-1) / 0.05
    erica = F.cross_entropy(similarity.masked_fill(~(positive | negative), -torch.inf), positive.int().argmax(1))
    loss = relation_discrimination_loss(embeddings, torch.zeros(12), positive, negative)
    torch.testing.assert_close(loss, erica, rtol=1e-9, atol=0)
    weighted = relation_discrimination_loss(embeddings, torch.linspace(0, 1, 12), positive, negative)
    assert weighted > erica * 1.1


def test_gradients_of_the_contrastive_losses():
    embeddings, weights, positive, negative = _instances(3, n=6)
    torch.autograd.gradcheck(
        lambda z, w: relation_discrimination_loss(z, w, positive, negative, 0.5),
        (embeddings.requires_grad_(), weights.requires_grad_()),
    )
    queries, candidates, tails, mask = _queries(3)
    torch.autograd.gradcheck(
        lambda q, c: entity_discrimination_loss(q, c, tails, mask, 0.5),
        (queries.requires_grad_(), candidates.requires_grad_()),
    )


@pytest.mark.parametrize("n", [0, 8])
def test_no_positives_is_zero_and_keeps_the_graph(n):
    embeddings = torch.randn(n, 4, requires_grad=True)
    none = torch.zeros(n, n, dtype=torch.bool)
    loss = relation_discrimination_loss(embeddings, torch.rand(n), none, ~none)
    loss.backward()
    assert loss.item() == 0 and embeddings.grad is not None and not embeddings.grad.any()


def test_no_negatives_is_zero_with_finite_gradients():
    embeddings = torch.randn(4, 4)
    embeddings[3] = 0  # an entity pair without a token
    embeddings.requires_grad_()
    none = torch.zeros(4, 4, dtype=torch.bool)
    positive = none.clone()
    positive[0, 1] = positive[1, 3] = positive[3, 1] = True
    loss = relation_discrimination_loss(embeddings, torch.rand(4), positive, none)
    loss.backward()
    assert loss.item() == 0 and embeddings.grad.isfinite().all()
    some = none.clone()
    some[0, 2] = True  # anchors 1 and 3 have none
    embeddings.grad = None
    relation_discrimination_loss(embeddings, torch.rand(4), positive, some).backward()
    assert embeddings.grad.isfinite().all() and embeddings.grad.any()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_entity_discrimination_equals_the_loop(seed, temperature):
    queries = _queries(seed)
    before = queries[3].clone()
    loss = entity_discrimination_loss(*queries, temperature)
    assert loss.item() == pytest.approx(_entity_loss_slowly(*queries, temperature), rel=1e-9)
    assert (queries[3] == before).all()  # the mask is the caller's


def test_no_queries_is_zero_and_keeps_the_graph():
    queries, candidates = torch.randn(0, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    mask = torch.zeros(0, 4, dtype=torch.bool)
    loss = entity_discrimination_loss(queries, candidates, torch.zeros(0, dtype=torch.long), mask)
    loss.backward()
    assert loss.item() == 0 and queries.grad is not None and not candidates.grad.any()


@pytest.mark.parametrize("loss", ["relation", "entity"])
def test_contrastive_losses_ignore_autocast_and_upcast(loss):
    if loss == "relation":
        embeddings, weights, *masks = _instances(1)
        compute = lambda z: relation_discrimination_loss(z, weights.float(), *masks)  # noqa: E731
    else:
        queries, embeddings, *rest = _queries(1)
        compute = lambda z: entity_discrimination_loss(queries.to(z.dtype), z, *rest)  # noqa: E731
    embeddings = embeddings.float()
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = compute(embeddings)
    assert under_autocast.dtype == torch.float32
    torch.testing.assert_close(under_autocast, compute(embeddings), rtol=1e-6, atol=0)
    half = compute(embeddings.bfloat16())
    assert half.dtype == torch.float32
    if loss == "relation":
        torch.testing.assert_close(half, compute(embeddings.bfloat16().float()), rtol=1e-6, atol=0)


def _classification(seed, p=9, r=5):
    """Logits and targets with multi-label and NA pairs."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(p, r, dtype=torch.double, generator=generator) * 4
    targets = torch.rand(p, r, generator=generator) < 0.3
    targets[0], targets[1] = False, torch.tensor([False, True, False, True, True])
    targets[:, 0] = ~targets[:, 1:].any(1)
    return logits, targets


def _binary_slowly(logits, targets):
    terms = [
        -math.log(1 / (1 + math.exp(-x if gold else x)))
        for row, golds in zip(logits.tolist(), targets.tolist(), strict=True)
        for x, gold in zip(row, golds, strict=True)
    ]
    return sum(terms) / len(terms)


def _softmax_slowly(logits, targets):
    terms = []
    for row, golds in zip(logits.tolist(), targets.tolist(), strict=True):
        others = sum(math.exp(x) for x, gold in zip(row, golds, strict=True) if not gold)
        terms += [-math.log(math.exp(x) / (math.exp(x) + others)) for x, gold in zip(row, golds, strict=True) if gold]
    return sum(terms) / len(terms)


def _adaptive_threshold_slowly(logits, targets):
    """ATLOP: -sum_{r in P} log softmax over P + TH, - log softmax of TH over N + TH; mean over pairs."""
    terms = []
    for row, golds in zip(logits.tolist(), targets.tolist(), strict=True):
        positive = [r for r in range(1, len(row)) if golds[r]]
        negative = [r for r in range(1, len(row)) if not golds[r]]
        over_positive = sum(math.exp(row[r]) for r in [0, *positive])
        over_negative = sum(math.exp(row[r]) for r in [0, *negative])
        terms.append(-sum(math.log(math.exp(row[r]) / over_positive) for r in positive))
        terms[-1] -= math.log(math.exp(row[0]) / over_negative)
    return sum(terms) / len(terms)


SLOW_LOSSES = {"bce": _binary_slowly, "softmax": _softmax_slowly, "adaptive_threshold": _adaptive_threshold_slowly}


@pytest.mark.parametrize("name", SLOW_LOSSES)
@pytest.mark.parametrize("seed", range(4))
def test_classification_losses_equal_the_loop(name, seed):
    logits, targets = _classification(seed)
    before = targets.clone()
    loss = RELATION_LOSSES[name](logits, targets)
    assert loss.item() == pytest.approx(SLOW_LOSSES[name](logits, targets), rel=1e-9)
    assert (targets == before).all()
    assert torch.autograd.gradcheck(lambda x: RELATION_LOSSES[name](x, targets), (logits.requires_grad_(),))


def test_every_loss_is_tested():
    assert set(RELATION_LOSSES) == set(SLOW_LOSSES)


@pytest.mark.parametrize("name", SLOW_LOSSES)
def test_classification_losses_of_nothing_and_of_half_precision(name):
    empty = torch.randn(0, 5, requires_grad=True)
    loss = RELATION_LOSSES[name](empty, torch.zeros(0, 5, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0 and empty.grad is not None
    logits, targets = _classification(0)
    half = RELATION_LOSSES[name](logits.bfloat16(), targets)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, RELATION_LOSSES[name](logits.bfloat16().float(), targets))
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = RELATION_LOSSES[name](logits.float(), targets)
    torch.testing.assert_close(under_autocast, RELATION_LOSSES[name](logits.float(), targets), rtol=1e-6, atol=0)


def _pu_slowly(logits, targets, priors, weights, loss, balance):
    """SSR-PU's estimate relation by relation, with the shares of labelled and of other pairs taken from the batch."""
    n, total = sum(weights), 0.0
    for r in range(1, len(logits[0])):
        labelled = [i for i, row in enumerate(targets) if row[r]]
        others = [i for i, row in enumerate(targets) if not row[r]]
        score = [row[r] - row[0] for row in logits]
        factor = max(priors[1][r] / priors[0][r], 1) if priors[0][r] else 1
        prior = factor * len(labelled) / n
        up = sum(loss(score[i]) for i in labelled) / max(len(labelled), 1)
        down = sum(loss(-score[i]) for i in labelled) / max(len(labelled), 1)
        unlabelled = 1 - len(labelled) / n
        true_among = (prior - len(labelled) / n) / unlabelled  # the shifted prior
        mean = sum(weights[i] * loss(-score[i]) for i in others) / max(sum(weights[i] for i in others), 1e-9)
        rest = (1 - prior) / (1 - true_among) * mean - true_among * (1 - prior) / (1 - true_among) * down
        gamma = 3 if not balance else math.sqrt((1 - priors[1][r]) / priors[1][r]) if priors[0][r] else 1
        total += gamma * prior * up + max(0.0, rest)
    return total


SURROGATES = {
    "pu_bce": (lambda margin: math.log(1 + math.exp(-margin)), False),
    "pu_ranking": (lambda margin: (margin - 0.25) ** 2 / 4, True),
}


def _priors(factor=1.5):
    return torch.tensor([[0.0, 0.1, 0.2, 0.05, 0.0], [0.0, 0.1 * factor, 0.2 * factor, 0.05, 0.0]]).double()


@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("factor", [1, 1.5, 4])
def test_positive_unlabelled_losses_equal_the_paper(name, seed, factor):
    logits, targets = _classification(seed)
    weights = torch.where(targets[:, 0], 3.0, 1.0).double()
    for weight in (None, weights):
        loss = PU_LOSSES[name](logits, targets, _priors(factor), weight)
        told = weights if weight is not None else torch.ones(len(logits))
        args = [part.tolist() for part in (logits, targets, _priors(factor), told)]
        assert loss.item() == pytest.approx(_pu_slowly(*args, *SURROGATES[name]), rel=1e-9)

    def of(x):
        return PU_LOSSES[name](x, targets, _priors(factor), weights)

    assert torch.autograd.gradcheck(of, (logits.clone().requires_grad_(),))


def test_every_positive_unlabelled_loss_is_tested():
    assert set(PU_LOSSES) == set(SURROGATES) and not set(PU_LOSSES) & set(RELATION_LOSSES)


@pytest.mark.parametrize("name", SURROGATES)
def test_positive_unlabelled_losses_of_nothing_and_of_half_precision(name):
    empty = torch.randn(0, 5, requires_grad=True)
    PU_LOSSES[name](empty, torch.zeros(0, 5, dtype=torch.bool), _priors()).backward()
    assert empty.grad is not None
    logits, targets = _classification(0)
    half = PU_LOSSES[name](logits.bfloat16(), targets, _priors())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, PU_LOSSES[name](logits.bfloat16().float(), targets, _priors()))


def test_risk_never_falls_below_that_of_the_labels():
    """With all the mass of a relation's margin on its labels, the estimate without nnPU's bound would be negative."""
    logits = torch.tensor([[0.0, 9.0], [0.0, -9.0], [0.0, -9.0]])
    targets = torch.tensor([[False, True], [True, False], [True, False]])
    loss = pu_bce_loss(logits, targets, torch.tensor([[0, 0.3], [0, 0.9]]))
    assert loss.item() == pytest.approx(3 * 3 * math.log(1 + math.exp(-9)) / 3, rel=1e-3)


def test_complete_labels_make_the_ordinary_risk():
    logits, targets = _classification(1)
    score = (logits - logits[:, :1])[:, 1:]
    gold = targets[:, 1:].double()
    ordinary = F.binary_cross_entropy_with_logits(score, gold, 1 + 2 * gold, reduction="none").sum(1).mean()
    torch.testing.assert_close(pu_bce_loss(logits, targets, _priors(1)), ordinary)


@pytest.mark.parametrize("name", SURROGATES)
def test_missing_labels_are_found_again(name):
    """Two kinds of pairs; all of the first have the relation, and one in four of them the label."""
    feature = torch.tensor([0] * 100 + [1] * 100)
    targets = torch.zeros(200, 2, dtype=torch.bool)
    targets[:25, 1] = True
    targets[:, 0] = ~targets[:, 1]
    scores = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([scores], lr=0.05)
    for _ in range(300):
        logits = torch.stack([torch.zeros(200), scores[feature]], dim=1)
        loss = PU_LOSSES[name](logits, targets, torch.tensor([[0, 0.125], [0, 0.5]]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found, empty = scores.tolist()
    assert found > 0.2 and empty < -0.2


def test_softmax_loss_of_single_labels_is_cross_entropy():
    logits, _ = _classification(0)
    gold = torch.tensor([0, 1, 2, 3, 4, 0, 0, 2, 1])
    torch.testing.assert_close(softmax_relation_loss(logits, F.one_hot(gold, 5).bool()), F.cross_entropy(logits, gold))


def test_every_relation_gold_leaves_no_competitor():
    logits = torch.randn(2, 4, requires_grad=True)
    targets = torch.tensor([[False, True, True, True], [True, False, False, False]])
    for loss in (softmax_relation_loss, adaptive_threshold_loss, binary_relation_loss):
        logits.grad = None
        loss(logits, targets).backward()
        assert logits.grad.isfinite().all() and logits.grad.any()


def test_relation_targets():
    label_pair, label_relation = torch.tensor([0, 0, 3, 3, 3]), torch.tensor([2, 1, 3, 3, 1])  # one label twice
    targets = relation_targets(label_pair, label_relation, num_pairs=5, num_relations=4)
    assert targets.int().tolist() == [[0, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0]]
    none = torch.zeros(0, dtype=torch.long)
    assert relation_targets(none, none, 0, 4).shape == (0, 4)
