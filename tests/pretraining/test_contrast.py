import numpy as np
import pytest
import torch

from finecl_hf.hashing import mix
from finecl_hf.pretraining import contrast
from finecl_hf.pretraining.contrast import Instances, mix_tensors


def as_instances(relation, head, tail, key):
    pair = np.unique(np.stack([head, tail]), axis=1, return_inverse=True)[1].ravel()
    return Instances(*(torch.from_numpy(np.asarray(column)) for column in (relation, head, tail, pair, key)))


def partner_mask(*rows, **options):
    return contrast.partner_mask(as_instances(*rows), **options).numpy()


def negative_mask(relation, head, tail, key, max_negatives=None):
    instances = as_instances(relation, head, tail, key)
    return contrast.negative_mask(instances, relation.max(initial=0) + 1, max_negatives=max_negatives).numpy()


def _instances(seed, n=40, num_entities=16, num_relations=4):
    """Distinct (head, tail, relation) rows of four documents in random order; an NA pair holds nothing else."""
    rng = np.random.default_rng(seed)
    facts, holds = set(), {}
    while len(facts) < n:
        document = rng.integers(4) * (num_entities // 4)
        head, tail = (int(document + entity) for entity in rng.permutation(num_entities // 4)[:2])
        relation = int(rng.integers(num_relations))
        if (relation == 0) != (holds.setdefault((head, tail), relation) == 0):
            continue  # a pair is either NA or labelled
        facts.add((relation, head, tail))
    relation, head, tail = np.array([sorted(facts)[i] for i in rng.permutation(n)]).T
    return relation, head, tail, rng.integers(-(2**62), 2**62, n)


def _allowed_slowly(relation, head, tail, kind):
    n = len(relation)
    allowed = np.zeros((n, n), dtype=bool)
    for a in range(n):
        for b in range(n):
            if relation[a] == 0 or head[a] == head[b] or tail[a] == tail[b]:
                continue
            held = {relation[c] for c in range(n) if (head[c], tail[c]) == (head[b], tail[b])}
            allowed[a, b] = relation[b] == relation[a] if kind == "partner" else relation[a] not in held
    return allowed


@pytest.mark.parametrize("most", [1, 2, 10**6])
@pytest.mark.parametrize("seed", range(5))
def test_partners_equal_the_definition(seed, most):
    relation, head, tail, key = _instances(seed)
    mask = partner_mask(relation, head, tail, key, max_partners=most)
    allowed = _allowed_slowly(relation, head, tail, "partner")
    assert not (mask & ~allowed).any()
    assert (mask.sum(1) == np.minimum(allowed.sum(1), most)).all()
    assert mask.any() and not mask[relation == 0].any()


@pytest.mark.parametrize("seed", range(5))
def test_negatives_equal_the_definition(seed):
    relation, head, tail, key = _instances(seed)
    allowed = _allowed_slowly(relation, head, tail, "negative")
    multi_label = (relation[:, None] != relation) & ~allowed & (relation != 0)[:, None]
    shares = (head[:, None] == head) | (tail[:, None] == tail)
    assert (multi_label & ~shares).any()  # a pair that also holds the anchor's relation is among the cases
    assert (negative_mask(relation, head, tail, key) == allowed).all()
    for most in (0, 1, 7, 39, 40, 1000):
        mask = negative_mask(relation, head, tail, key, max_negatives=most)
        assert not (mask & ~allowed).any()
        assert (mask.sum(1) == np.minimum(allowed.sum(1), most)).all()


@pytest.mark.parametrize("seed", range(3))
def test_rows_in_another_order_give_the_same_masks(seed):
    relation, head, tail, key = _instances(seed)
    order = np.random.default_rng(seed).permutation(len(relation))
    new_entity = np.random.default_rng(seed).permutation(16)  # numbers of entities carry no meaning either
    shuffled = relation[order], new_entity[head[order]], new_entity[tail[order]], key[order]
    at = np.ix_(order, order)
    assert (partner_mask(*shuffled) == partner_mask(relation, head, tail, key)[at]).all()
    for most in (None, 3):
        original = negative_mask(relation, head, tail, key, most)
        assert (negative_mask(*shuffled, most) == original[at]).all()


def test_other_rows_do_not_change_a_draw():
    relation, head, tail, key = _instances(0)
    mask = negative_mask(relation, head, tail, key, max_negatives=1)
    _, pair, labels = np.unique(np.stack([head, tail]), axis=1, return_inverse=True, return_counts=True)
    alone = labels[pair.ravel()] == 1  # its pair is kept from no anchor by another label
    without = np.delete(np.arange(40), np.flatnonzero(~mask.any(axis=0) & alone)[0])  # a row that nobody drew
    fewer = negative_mask(*(array[without] for array in (relation, head, tail, key)), max_negatives=1)
    assert (fewer == mask[np.ix_(without, without)]).all()


def test_draws_are_uniform_and_independent():
    """Four instances of one relation and eight of another, over many keys."""
    relation = np.array([1] * 4 + [2] * 8)
    head, tail = np.arange(12), np.arange(12) + 100
    partners, negatives, together = np.zeros(12), np.zeros(12), 0
    repeats = 4000
    for repeat in range(repeats):
        key = mix(repeat, np.arange(12)).view(np.int64)
        partners += partner_mask(relation, head, tail, key)[0]
        drawn = negative_mask(relation, head, tail, key, max_negatives=4)
        negatives += drawn[0]
        together += drawn[0, 4] and drawn[1, 4]
    np.testing.assert_allclose(partners / repeats, [0] + [1 / 3] * 3 + [0] * 8, atol=0.04)
    np.testing.assert_allclose(negatives / repeats, [0] * 4 + [1 / 2] * 8, atol=0.04)
    assert abs(together / repeats - 1 / 4) < 0.04  # two anchors draw independently


@pytest.mark.parametrize("n", [0, 3])
def test_without_instances(n):
    """No rows at all, or nothing but NA pairs."""
    rows = np.zeros(n, dtype=np.int64), np.arange(n), np.arange(n) + n, np.arange(n)
    assert partner_mask(*rows).shape == negative_mask(*rows).shape == (n, n)
    for most in (None, 0, 1, 64):
        assert not negative_mask(*rows, most).any()
    assert not partner_mask(*rows).any()


def test_a_single_instance_has_neither():
    row = np.array([1]), np.array([0]), np.array([1]), np.array([7])
    assert not partner_mask(*row).any() and not negative_mask(*row, 64).any()


@pytest.mark.parametrize("seed", range(3))
def test_some_anchors_have_the_rows_of_all_masks(seed):
    instances = as_instances(*_instances(seed))
    anchors = torch.tensor([3, 0, 17])
    assert torch.equal(contrast.partner_mask(instances, anchors), contrast.partner_mask(instances)[anchors])
    for most in (None, 3):
        whole = contrast.negative_mask(instances, 4, max_negatives=most)
        assert torch.equal(contrast.negative_mask(instances, 4, anchors, most), whole[anchors])


def test_batches_together_keep_their_entities_and_pairs_apart():
    rows = _instances(0)
    first, second = (as_instances(*(column[part] for column in rows)) for part in (slice(25), slice(25, None)))
    both = Instances.together([first, second], [16, 16])
    assert len(both) == 40 and both.relation.tolist() == rows[0].tolist() and both.key.tolist() == rows[3].tolist()
    assert not set(both.head[:25].tolist() + both.tail[:25].tolist()) & set(both.head[25:].tolist())
    assert both.head[25:].tolist() == (second.head + 16).tolist()
    assert not set(both.pair[:25].tolist()) & set(both.pair[25:].tolist()) and both.pair.max() < 40
    for part, rows in ((first, slice(25)), (second, slice(25, None))):
        assert ((both.pair[rows, None] == both.pair[rows]) == (part.pair[:, None] == part.pair)).all()


def test_tensors_are_mixed_as_arrays_are():
    rng = np.random.default_rng(0)
    left, right = rng.integers(-(2**63), 2**63 - 1, (2, 50))
    mixed = mix_tensors(torch.from_numpy(left)[:, None], torch.from_numpy(right), torch.tensor([7]))
    assert (mixed.numpy().view(np.uint64) == mix(left[:, None], right, 7)).all()
    assert (mix_tensors(torch.tensor([-1, 0, 2**63 - 1])).numpy().view(np.uint64) == mix([-1, 0, 2**63 - 1])).all()


@pytest.mark.parametrize("block", [1, 90, 2**23])
def test_masks_of_blocks_are_those_of_all_anchors(block, monkeypatch):
    monkeypatch.setattr(contrast, "BLOCK", block)
    instances, anchors = as_instances(*_instances(1)), torch.tensor([3, 0, 17, 5, 39])
    positive, negative = contrast.contrast_masks(instances, 4, anchors, max_negatives=3, max_partners=2)
    assert torch.equal(positive, contrast.partner_mask(instances, anchors, max_partners=2))
    assert torch.equal(negative, contrast.negative_mask(instances, 4, anchors, 3))
    assert positive.any() and negative.any()
    nothing = contrast.contrast_masks(instances, 4, anchors[:0], max_negatives=3)
    assert all(mask.shape == (0, 40) for mask in nothing)
