"""Random feature rows (see finecl_hf.encoding.feature_table.COLUMNS) for tests of the collators."""

import numpy as np


FIRST_ID = 5  # ids below are special: 0 pad, 1 unk, 2 [CLS], 3 [SEP], 4 [MASK]
VOCABULARY = 1000


def random_row(
    seed, num_entities=5, length=40, num_facts=4, num_relations=6, out_of_reach=0, max_mentions=3, all_pairs=True
):
    """[CLS] text [SEP] with mentions of 1 to 3 tokens in random order; the last entities are out of reach."""
    rng = np.random.default_rng([seed, 99])
    visible = max(num_entities - out_of_reach, 0)
    spans = []
    for entity in range(visible):
        for _ in range(rng.integers(1, max_mentions + 1)):
            start = int(rng.integers(1, length - 4))
            spans.append((start, start + int(rng.integers(1, 4)), entity))
    rng.shuffle(spans)
    pairs = [(head, tail) for head in range(visible) for tail in range(visible) if head != tail]
    every = [(*pair, relation) for pair in pairs for relation in range(1, num_relations)]
    facts = [every[i] for i in rng.permutation(len(every))[:num_facts]]
    judged = sorted({fact[:2] for fact in facts} | {pairs[i] for i in rng.permutation(len(pairs))[:3]})
    rng.shuffle(judged)
    return {
        "key": int(rng.integers(-(2**62), 2**62)),
        "input_ids": [2, *rng.integers(FIRST_ID, VOCABULARY, length - 2).tolist(), 3],
        "num_entities": num_entities,
        "mention_start": [int(span[0]) for span in spans],
        "mention_end": [int(span[1]) for span in spans],
        "mention_entity": [int(span[2]) for span in spans],
        "entity_type": rng.integers(0, 4, num_entities).tolist(),
        "window_index": [],
        "window_lengths": [],
        "all_pairs": all_pairs,
        "pair_head": [] if all_pairs else [int(head) for head, _ in judged],
        "pair_tail": [] if all_pairs else [int(tail) for _, tail in judged],
        "head": [fact[0] for fact in facts],
        "tail": [fact[1] for fact in facts],
        "relation": [fact[2] for fact in facts],
        "sentence_start": [1, length // 2],
        "evidence_fact": [number for number in range(len(facts)) if number % 2],
        "evidence_sentence": [number // 2 % 2 for number in range(len(facts)) if number % 2],
        "fact_key": [1000 * seed + number for number in range(len(facts))],
    }


def random_rows(count, **settings):
    """Documents of different sizes; one has no entity and one no fact."""
    rows = [random_row(seed, num_entities=seed % 6, length=30 + 7 * (seed % 5), **settings) for seed in range(count)]
    rows[-1].update(head=[], tail=[], relation=[], fact_key=[], evidence_fact=[], evidence_sentence=[])
    return rows
