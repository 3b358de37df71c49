from collections import Counter

import numpy as np
import pytest

from finecl_hf.encoding.batches import SharedEpoch
from finecl_hf.pretraining.sampling import PartnerBatchSampler


def _facts(seed, num_documents=50, num_relations=12):
    """Up to five facts a document, several of them with the same relation; relation 0 occurs in one document only."""
    rng = np.random.default_rng(seed)
    facts = [
        (document, int(rng.integers(1, num_relations)))
        for document in range(num_documents)
        for _ in range(rng.integers(0, 6))
    ]
    facts += [facts[0], facts[0], (3, 0), (3, 0)]
    rng.shuffle(facts)
    return np.array(facts).T


def _epochs(facts, num_documents, batch_size, epochs, seed=0):
    shared = SharedEpoch()
    sampler = PartnerBatchSampler(*facts, num_documents, batch_size, seed, shared)
    for epoch in range(epochs):
        shared.set(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        yield batches


def _holders(facts):
    holders = {}
    for document, relation in facts.T.tolist():
        holders.setdefault(relation, set()).add(document)
    return holders


@pytest.mark.parametrize("num_documents, batch_size", [(50, 8), (50, 7), (51, 16), (50, 50), (50, 1), (5, 8), (1, 4)])
@pytest.mark.parametrize("with_facts", [True, False])
def test_batches_are_full_without_duplicates_and_two_epochs_hold_every_document(num_documents, batch_size, with_facts):
    facts = _facts(0, num_documents=max(num_documents, 4))
    facts = facts[:, facts[0] < num_documents] if with_facts else np.zeros((2, 0), dtype=np.int64)
    seen = Counter()
    for epoch, batches in enumerate(_epochs(facts, num_documents, batch_size, epochs=6)):
        for batch in batches:
            assert len(set(batch)) == len(batch) == min(batch_size, num_documents)
            assert all(type(document) is int and 0 <= document < num_documents for document in batch)
            seen.update(batch)
        assert 0 <= len(batches) * min(batch_size, num_documents) - num_documents < batch_size
        if epoch % 2:
            assert len(seen) == num_documents
            seen.clear()


@pytest.mark.parametrize("seed", range(4))
def test_an_anchor_brings_a_partner_of_its_relation_where_one_exists(seed):
    facts = _facts(seed)
    holders = _holders(facts)
    partners = {
        document: set().union(*(others for others in holders.values() if document in others)) - {document}
        for document in range(50)
    }
    assert any(not others for others in partners.values())
    for batches in _epochs(facts, 50, 2, epochs=8, seed=seed):  # a batch is an anchor and its partner
        assert all(partner in partners[anchor] or not partners[anchor] for anchor, partner in batches)


def test_partners_are_drawn_from_all_relations_and_all_their_documents():
    facts = np.array([[0, 0, 1, 2, 3, 4, 5], [1, 2, 1, 1, 2, 3, 3]])
    drawn = {0: Counter(), 4: Counter()}
    for batches in _epochs(facts, 6, 2, epochs=600):
        for anchor, partner in batches:
            if anchor in drawn:
                drawn[anchor][partner] += 1
    assert drawn[4].keys() == {5} and drawn[0].keys() == {1, 2, 3}
    share = [drawn[0][partner] / drawn[0].total() for partner in (1, 2, 3)]
    np.testing.assert_allclose(share, [1 / 4, 1 / 4, 1 / 2], atol=0.09)


def test_epochs_and_seeds_differ_and_repeat_exactly():
    facts = _facts(0)
    first, second = (list(_epochs(facts, 50, 8, epochs=4)) for _ in range(2))
    assert first == second
    assert all(first[i] != first[j] for i in range(4) for j in range(i))
    assert list(_epochs(facts, 50, 8, epochs=4, seed=1)) != first


def test_larger_batches_attract():
    """Half of a batch are partners, so its documents share relations far more often than random ones would."""
    rng = np.random.default_rng(0)
    facts = np.stack([np.arange(400), rng.integers(0, 100, 400)])  # 4 documents a relation
    relation = facts[1]
    for batches in _epochs(facts, 400, 8, epochs=2):
        shared = [sum(count > 1 for count in Counter(relation[batch].tolist()).values()) for batch in batches]
        assert np.mean(shared) > 3
