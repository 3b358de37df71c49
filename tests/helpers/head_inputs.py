"""What heads read, made up: entities as they are, or random documents with attention."""

import torch

from finecl_hf.extraction.heads import HeadInputs


def inputs_of_entities(entities, pairs, distances):
    """One document in which each token is a mention of an entity of its own, so that its vector is the entity's."""
    tokens = torch.arange(len(entities))
    return HeadInputs(
        hidden=entities[None],
        token_index=tokens,
        token_weight=torch.ones(len(entities), dtype=entities.dtype),
        entity_offsets=tokens,
        mention_offsets=tokens,
        mention_entity=tokens,
        entity_type=torch.zeros_like(tokens),
        pairs=pairs,
        distances=distances,
        pair_counts=[len(pairs)],
        entity_counts=[len(entities)],
    )


def random_inputs(counts=(4, 0, 1, 6), length=23, size=12, heads=3, seed=0, dtype=torch.double):
    """Documents with so many entities of one to three mentions each; every other pair is judged, in random order."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, dtype=dtype, generator=generator)

    rows, slots = len(counts), max(1, *counts)
    spans, pairs, pair_counts, base = [], [], [], 0
    for row, count in enumerate(counts):
        for entity in range(count):
            for _ in range(int(torch.randint(1, 4, (), generator=generator))):
                start = int(torch.randint(0, length - 4, (), generator=generator))
                width = int(torch.randint(1, 4, (), generator=generator))
                spans.append((base + entity, row * length + start, width))
        own = [(base + h, base + t) for h in range(count) for t in range(count) if h != t]
        own = [own[i] for i in torch.randperm(len(own), generator=generator)[: (len(own) + 1) // 2]]
        pairs += own
        pair_counts.append(len(own))
        base += count
    widths = torch.tensor([width for *_, width in spans])
    entity = torch.tensor([entity for entity, *_ in spans])
    mentions = entity.bincount(minlength=base)
    token_index = torch.cat([torch.arange(start, start + width) for _, start, width in spans])
    tokens = torch.zeros(base, dtype=torch.long).index_add(0, entity, widths)
    attention = draw(rows, length, heads, slots).softmax(dim=1)
    present = torch.arange(slots) < torch.tensor(counts)[:, None]
    return HeadInputs(
        hidden=draw(rows, length, size),
        token_index=token_index,
        token_weight=(1 / (widths * mentions[entity]).to(dtype)).repeat_interleave(widths),
        entity_offsets=tokens.cumsum(0) - tokens,
        mention_offsets=widths.cumsum(0) - widths,
        mention_entity=entity,
        entity_type=torch.randint(0, 3, (base,), generator=generator),
        pairs=torch.tensor(pairs, dtype=torch.long).reshape(-1, 2),
        distances=torch.randint(1, 20, (len(pairs),), generator=generator),
        pair_counts=pair_counts,
        entity_counts=list(counts),
        attention=attention * present[:, None, None, :],
    )


def assert_equals_definition(head, inputs, by_loops):
    """Logits and the gradients of hidden states and weights equal those of a definition, pair by pair."""
    leaves = {"hidden": inputs.hidden.requires_grad_(), **dict(head.named_parameters())}
    ours, expected = head(inputs), by_loops(head, inputs)
    torch.testing.assert_close(ours, expected)
    direction = torch.randn_like(expected)
    fast = torch.autograd.grad((ours * direction).sum(), leaves.values())
    slow = torch.autograd.grad((expected * direction).sum(), leaves.values())
    for name, a, b in zip(leaves, fast, slow, strict=True):
        assert b.any(), name
        torch.testing.assert_close(a, b, msg=name)


def assert_keeps_its_weights_without_pairs(head, inputs):
    """A batch without a pair gives each weight a gradient, of zero."""
    logits = head(inputs)
    assert logits.shape == (0, 5)
    logits.sum().backward()
    assert all(weight.grad is not None and not weight.grad.any() for weight in head.parameters())
