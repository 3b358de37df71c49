import numpy as np
import pytest
import torch

from finecl_hf.encoding.pooling import mention_weights, places_in, pool_entities, rank_within, take_rows


def _random_mentions(seed, num_entities=7, num_mentions=15, num_tokens=40):
    """Mentions in random order; the last two entities have none."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, num_tokens - 5, num_mentions)
    return start, start + rng.integers(1, 6, num_mentions), rng.integers(0, num_entities - 2, num_mentions)


def _mean_of_means(hidden, start, end, entity, num_entities):
    """(E, D) by a loop over mentions; hidden: (T, D)."""
    entities = torch.zeros(num_entities, hidden.shape[1], dtype=hidden.dtype)
    for number in range(num_entities):
        means = [
            hidden[first:last].mean(0) for first, last, of in zip(start, end, entity, strict=True) if of == number
        ]
        if means:
            entities[number] = torch.stack(means).mean(0)
    return entities


def _pool(hidden, start, end, entity, num_entities):
    arrays = mention_weights(start, end, entity, num_entities)
    return pool_entities(hidden, *(torch.from_numpy(array) for array in arrays))


@pytest.mark.parametrize("seed", range(5))
def test_an_entity_is_the_mean_over_mentions_of_the_mean_over_tokens(seed):
    mentions = _random_mentions(seed)
    hidden = torch.randn(4, 10, 6, dtype=torch.double, generator=torch.Generator().manual_seed(seed))
    pooled = _pool(hidden, *mentions, 7)
    expected = _mean_of_means(hidden.flatten(0, 1), *mentions, 7)
    torch.testing.assert_close(pooled, expected, rtol=0, atol=1e-6)  # the weights are float32
    assert (pooled[-2:] == 0).all()


def test_gradients_equal_the_loop():
    mentions = _random_mentions(0)
    hidden = torch.randn(4, 10, 6, dtype=torch.double, requires_grad=True)
    direction = torch.randn(7, 6, dtype=torch.double)
    (fast,) = torch.autograd.grad((_pool(hidden, *mentions, 7) * direction).sum(), hidden)
    (slow,) = torch.autograd.grad((_mean_of_means(hidden.flatten(0, 1), *mentions, 7) * direction).sum(), hidden)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-6)


def test_weights_sum_to_one_and_the_order_of_mentions_has_no_influence():
    start, end, entity = _random_mentions(1)
    token_index, token_weight, offsets = mention_weights(start, end, entity, 7)
    assert token_weight.dtype == np.float32 and len(token_index) == (end - start).sum()
    sums = [part.sum() for part in np.split(token_weight, offsets[1:])]
    np.testing.assert_allclose(sums, [1.0 if number in entity else 0.0 for number in range(7)], atol=1e-6)
    hidden = torch.randn(1, 40, 3)
    shuffled = np.random.default_rng(0).permutation(len(start))
    torch.testing.assert_close(
        _pool(hidden, start, end, entity, 7), _pool(hidden, start[shuffled], end[shuffled], entity[shuffled], 7)
    )


def test_bfloat16_hidden_states():
    mentions = _random_mentions(2)
    hidden = torch.randn(4, 10, 6, requires_grad=True)
    pooled = _pool(hidden.bfloat16(), *mentions, 7)
    assert pooled.dtype == torch.bfloat16
    expected = _mean_of_means(hidden.detach().flatten(0, 1), *mentions, 7)
    torch.testing.assert_close(pooled.float(), expected, rtol=0.03, atol=0.03)
    pooled.float().sum().backward()
    assert hidden.grad.isfinite().all() and hidden.grad.any()


def test_no_mentions_at_all():
    none = np.zeros(0, dtype=np.int64)
    hidden = torch.randn(2, 5, 3, requires_grad=True)
    pooled = _pool(hidden, none, none, none, 2)
    assert pooled.tolist() == [[0.0] * 3] * 2
    assert _pool(hidden, none, none, none, 0).shape == (0, 3)
    pooled.sum().backward()
    assert not hidden.grad.any()


@pytest.mark.parametrize("seed", range(5))
def test_ranks_and_places_by_loops(seed):
    generator = torch.Generator().manual_seed(seed)
    group = torch.randint(0, 4, (20,), generator=generator)
    assert rank_within(group).tolist() == [group[:i].tolist().count(value) for i, value in enumerate(group.tolist())]
    known = torch.tensor([1, 4, 7])
    place, is_known = places_in(known, group)
    for value, at, there in zip(group.tolist(), place.tolist(), is_known.tolist(), strict=True):
        assert there == (value in (1, 4, 7)) and (not there or known[at] == value)


@pytest.mark.parametrize("shape", [(7,), (7, 2), (0,), (3, 0)])
@pytest.mark.parametrize("width", [(4,), (2, 3)])
def test_rows_and_their_gradients_are_those_of_indexing(shape, width):
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(5, *width, dtype=torch.double, generator=generator, requires_grad=True)
    index = torch.randint(0, 5, shape, generator=generator)
    rows, expected = take_rows(table, index), table[index]
    assert torch.equal(rows, expected)
    direction = torch.randn(expected.shape, dtype=torch.double, generator=generator)
    gradients = [torch.autograd.grad((taken * direction).sum(), table)[0] for taken in (rows, expected)]
    torch.testing.assert_close(*gradients)
