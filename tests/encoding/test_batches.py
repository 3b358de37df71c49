from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from finecl_hf.encoding.batches import RelationCollator, SharedEpoch, judged_pairs, pad, type_pairs
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.encoding.pooling import pool_entities
from finecl_hf.hashing import text_key, type_key
from tests.data.test_distances import slow_bucket
from tests.helpers.feature_rows import random_row, random_rows


PAD = 0
ROWS = [
    *random_rows(11, out_of_reach=0),
    random_row(50, num_entities=6, out_of_reach=2),
    random_row(51, num_entities=6, all_pairs=False),
    random_row(52, num_entities=6, out_of_reach=2, all_pairs=False),
]


def _take_apart(batch):
    """Per document: judged (head, tail) pairs within the document, their distances, and its set of labels."""
    documents, first_pair, first_entity = [], 0, 0
    for pairs, entities in zip(batch["pair_counts"], batch["entity_counts"], strict=True):
        here = slice(first_pair, first_pair + pairs)
        local = [tuple(pair) for pair in (batch["pairs"][here] - first_entity).tolist()]
        labels = [
            (*local[pair - first_pair], relation, key)
            for pair, relation, key in zip(
                *(batch[name].tolist() for name in ("label_pair", "label_relation", "fact_key")), strict=True
            )
            if first_pair <= pair < first_pair + pairs
        ]
        documents.append((local, batch["distances"][here].tolist(), labels))
        first_pair, first_entity = first_pair + pairs, first_entity + entities
    assert first_pair == len(batch["pairs"]) and first_entity == len(batch["entity_offsets"])
    return documents


def _judged_slowly(row):
    if not row["all_pairs"]:
        return sorted(zip(row["pair_head"], row["pair_tail"], strict=True))
    visible = sorted(set(row["mention_entity"]))
    return [(head, tail) for head in visible for tail in visible if head != tail]


def _first_tokens(row):
    spans = zip(row["mention_start"], row["mention_entity"], strict=True)
    first = {}
    for start, entity in spans:
        first[entity] = min(first.get(entity, start), start)
    return first


def test_padding():
    ids, mask = pad([np.array([5, 6, 7]), np.array([8])], value=9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]] and mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_a_batch_equals_a_loop_over_documents():
    batch = RelationCollator(PAD)(ROWS)
    longest = max(len(row["input_ids"]) for row in ROWS)
    assert batch["input_ids"].tolist() == [
        row["input_ids"] + [PAD] * (longest - len(row["input_ids"])) for row in ROWS
    ]
    assert batch["attention_mask"].sum(1).tolist() == [len(row["input_ids"]) for row in ROWS]
    for row, (pairs, distances, labels) in zip(ROWS, _take_apart(batch), strict=True):
        assert pairs == _judged_slowly(row)
        first = _first_tokens(row)
        assert distances == [slow_bucket(first[tail] - first[head]) for head, tail in pairs]
        assert labels == list(zip(row["head"], row["tail"], row["relation"], row["fact_key"], strict=True))


def test_entities_of_a_batch_are_pooled_from_their_own_tokens():
    batch = RelationCollator(PAD)(ROWS)
    hidden = torch.randn(*batch["input_ids"].shape, 3)
    pooled = pool_entities(hidden, batch["token_index"], batch["token_weight"], batch["entity_offsets"])
    expected = []
    for states, row in zip(hidden, ROWS, strict=True):
        for entity in range(row["num_entities"]):
            means = [
                states[start:end].mean(0)
                for start, end, of in zip(row["mention_start"], row["mention_end"], row["mention_entity"], strict=True)
                if of == entity
            ]
            expected.append(torch.stack(means).mean(0) if means else torch.zeros(3))
    torch.testing.assert_close(pooled, torch.stack(expected))


@pytest.mark.parametrize("ratio", [0, 0.5, 1, 3])
def test_na_pairs_are_drawn_beside_all_labelled_ones(ratio):
    batch = RelationCollator(PAD, na_ratio=ratio)(ROWS)
    for row, (pairs, _, labels) in zip(ROWS, _take_apart(batch), strict=True):
        judged, labelled = set(_judged_slowly(row)), set(zip(row["head"], row["tail"], strict=True))
        assert len(set(pairs)) == len(pairs) and labelled <= set(pairs) <= judged
        wanted = max(1, round(ratio * len(labelled))) if ratio else 0
        assert len(pairs) - len(labelled) == min(wanted, len(judged - labelled))
        assert [label[:3] for label in labels] == list(zip(row["head"], row["tail"], row["relation"], strict=True))


@pytest.mark.parametrize("ratio", [0.5, 1, 3])
def test_weights_make_up_for_pairs_that_were_not_drawn(ratio):
    batch = RelationCollator(PAD, na_ratio=ratio)(ROWS)
    weights = iter(batch["pair_weight"].tolist())
    for row, (pairs, _, _) in zip(ROWS, _take_apart(batch), strict=True):
        labelled = set(zip(row["head"], row["tail"], strict=True))
        drawn, unlabelled = len(pairs) - len(labelled), len(_judged_slowly(row)) - len(labelled)
        expected = [1 if pair in labelled else unlabelled / drawn for pair in pairs]
        assert [next(weights) for _ in pairs] == pytest.approx(expected)
    assert RelationCollator(PAD)(ROWS)["pair_weight"] is None


def _drawn(loader):
    """{key of the document: judged pairs} over the batches of a loader of rows that carry their key in input_ids."""
    drawn = {}
    for batch in loader:
        for row, (pairs, _, _) in zip(batch["input_ids"].tolist(), _take_apart(batch), strict=True):
            drawn[row[1]] = pairs
    return drawn


def _numbered(rows):
    return [
        {**row, "input_ids": [row["input_ids"][0], 10_000 + i, *row["input_ids"][2:]]} for i, row in enumerate(rows)
    ]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_draws_depend_on_document_seed_and_epoch_alone(num_workers):
    rows = _numbered(ROWS)
    collator = RelationCollator(PAD, na_ratio=1, seed=3)
    alone = _drawn(collator([row]) for row in rows)
    loader = DataLoader(
        rows,
        batch_size=4,
        shuffle=True,
        collate_fn=collator,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )
    assert _drawn(loader) == alone
    collator.epoch.set(1)  # must reach workers that run already
    later = _drawn(loader)
    assert later != alone and later == _drawn(collator([row]) for row in rows)
    other_seed = RelationCollator(PAD, na_ratio=1, seed=4)
    assert _drawn(other_seed([row]) for row in rows) != alone
    collator.epoch.set(0)
    assert _drawn(loader) == alone


def test_na_pairs_are_drawn_uniformly():
    row = random_row(7, num_entities=4, num_facts=2)
    labelled = set(zip(row["head"], row["tail"], strict=True))
    collator = RelationCollator(PAD, na_ratio=1)
    counts, epochs = Counter(), 3000
    for epoch in range(epochs):
        collator.epoch.set(epoch)
        counts.update(_take_apart(collator([row]))[0][0])
    na = {pair: count for pair, count in counts.items() if pair not in labelled}
    assert len(na) == 12 - len(labelled)
    expected = len(labelled) / len(na)
    assert all(abs(count / epochs - expected) < 0.05 for count in na.values())


def _close_slowly(row, head, tail):
    """Whether mentions of both entities lie in one sentence or in neighbouring ones."""
    sentences = {}
    for entity, start in zip(row["mention_entity"], row["mention_start"], strict=True):
        sentences.setdefault(entity, []).append(sum(first <= start for first in row["sentence_start"]))
    return any(abs(one - other) <= 1 for one in sentences[head] for other in sentences[tail])


@pytest.mark.parametrize("ratio", [0, 1, 3])
def test_hard_na_pairs_are_drawn_first(ratio):
    keys = [type_key(name) for name in ("PER", "LOC", "")]
    known = np.sort([keys[0] * 2**31 + keys[1], keys[1] * 2**31 + keys[0], 0])
    rows, told = [], 0
    for number in range(12):
        row = random_row(number, num_entities=8, num_facts=4)
        starts = sorted({0, *range(0, len(row["input_ids"]), 5)})
        rows.append({**row, "sentence_start": starts, "entity_type": [keys[(i + number) % 3] for i in range(8)]})
    batch = RelationCollator(PAD, na_ratio=ratio, type_pairs=known)(rows)
    for row, (pairs, _, _) in zip(rows, _take_apart(batch), strict=True):
        labelled = set(zip(row["head"], row["tail"], strict=True))
        na, types = set(_judged_slowly(row)) - labelled, row["entity_type"]
        hard = {(h, t) for h, t in na if types[h] * 2**31 + types[t] in known and _close_slowly(row, h, t)}
        drawn = set(pairs) - labelled
        wanted = min(max(1, round(ratio * len(labelled))) if ratio else 0, len(na))
        assert labelled <= set(pairs) and len(drawn) == wanted
        assert len(drawn & hard) >= min(len(hard), round(wanted * 2 / 3))
        told += len(drawn & hard) < len(drawn)
    assert told or not ratio  # others are among them


def test_hard_draws_change_from_epoch_to_epoch_and_reach_all_pairs():
    row = {**random_row(7, num_entities=6, num_facts=3), "sentence_start": [0]}
    known = np.array([row["entity_type"][1] * 2**31 + row["entity_type"][0]])
    collator = RelationCollator(PAD, na_ratio=1, type_pairs=known)
    drawn = set()
    for epoch in range(200):
        collator.epoch.set(epoch)
        drawn.update(_take_apart(collator([row]))[0][0])
    assert drawn == set(_judged_slowly(row))
    collator.epoch.set(0)
    assert _drawn([collator(_numbered([row]))]) == _drawn([collator(_numbered([row]))])


def test_types_of_facts_as_numbers(ada):
    per, loc = type_key("PER"), type_key("LOC")
    found = type_pairs([ada, ada])
    types = [(ada.entities[fact.head][0].type, ada.entities[fact.tail][0].type) for fact in ada.relations]
    assert found.tolist() == sorted({type_key(head) * 2**31 + type_key(tail) for head, tail in types})
    assert found.dtype == np.int64 and (per * 2**31 + loc in found) == (("PER", "LOC") in types)
    assert type_pairs([]).shape == (0,)


def test_documents_alike_in_all_but_their_key_draw_differently():
    rows = [{**random_row(7, num_entities=5), "key": key} for key in range(6)]
    batch = RelationCollator(PAD, na_ratio=1)(rows)
    assert len({tuple(pairs) for pairs, _, _ in _take_apart(batch)}) > 1


def test_shared_epoch():
    epoch = SharedEpoch()
    assert epoch.get() == 0
    epoch.set(12)
    assert epoch.get() == 12


def test_a_batch_without_a_single_pair():
    empty = random_row(1, num_entities=0)
    lonely = random_row(2, num_entities=1)
    for ratio in (None, 3):
        batch = RelationCollator(PAD, na_ratio=ratio)([empty, lonely])
        assert batch["pairs"].shape == (0, 2) and batch["pair_counts"] == [0, 0]
        assert batch["label_pair"].numel() == batch["label_relation"].numel() == batch["distances"].numel() == 0
        assert all(batch[name].dtype == torch.long for name in ("pairs", "distances", "label_pair", "label_relation"))
        assert batch["entity_counts"] == [0, 1] and len(batch["entity_offsets"]) == 1


def test_entities_out_of_reach_are_in_no_judged_pair():
    row = random_row(3, num_entities=6, out_of_reach=2)
    size = row["num_entities"]
    assert {number // size for number in judged_pairs(row)} == {0, 1, 2, 3}
    assert len(judged_pairs(row)) == 12


def test_features_of_real_documents(bert_tokenizer, ada, curie):
    label2id = {"NA": 0, "born in": 1, "located in": 2, "capital of": 3, "died in": 4}
    columns = DocumentEncoder(bert_tokenizer, label2id, 128).encode([ada, curie])
    rows = [{name: values[i] for name, values in columns.items()} for i in range(2)]
    batch = RelationCollator(bert_tokenizer.pad_token_id)(rows)
    assert batch["pair_counts"] == [12, 6] and batch["entity_counts"] == [4, 3]
    assert batch["keys"].tolist() == [text_key("Ada"), text_key("Curie")]
    named = [
        (batch["pairs"][pair].tolist(), relation)
        for pair, relation in zip(batch["label_pair"].tolist(), batch["label_relation"].tolist(), strict=True)
    ]
    assert named == [([0, 1], 1), ([1, 2], 2), ([1, 2], 3), ([4, 5], 1), ([4, 6], 4)]
    tokens = batch["input_ids"].flatten()[
        batch["token_index"][batch["entity_offsets"][1] : batch["entity_offsets"][2]]
    ]
    assert bert_tokenizer.decode(tokens) == "london"


def test_sentences_and_evidence_follow_the_documents():
    rows = random_rows(6)
    batch = RelationCollator(0)(rows)
    for row, sentence in zip(rows, batch["sentence"].tolist(), strict=True):
        for token in range(len(row["input_ids"])):
            assert sentence[token] == sum(start <= token for start in row["sentence_start"]) - 1
    facts = [(number, i) for number, row in enumerate(rows) for i in range(len(row["head"]))]
    told = [
        (facts.index((number, fact)), sentence)
        for number, row in enumerate(rows)
        for fact, sentence in zip(row["evidence_fact"], row["evidence_sentence"], strict=True)
    ]
    assert told
    expected = [(int(batch["label_pair"][fact]), sentence) for fact, sentence in told]
    assert list(zip(batch["evidence_pair"].tolist(), batch["evidence_sentence"].tolist(), strict=True)) == expected


def test_windows_are_laid_out_over_the_batch():
    rows = random_rows(3)
    assert RelationCollator(0)(rows)["window_index"] is None
    rows[1].update(window_index=[0, 1, 2, 36, 0, 2, 3, 36], window_lengths=[4, 4])
    batch = RelationCollator(0)(rows)
    length = batch["input_ids"].shape[1]
    assert batch["window_lengths"] == [len(rows[0]["input_ids"]), 4, 4, len(rows[2]["input_ids"])]
    first, last = len(rows[0]["input_ids"]), len(rows[2]["input_ids"])
    expected = [*range(first), *(length + i for i in rows[1]["window_index"]), *(2 * length + i for i in range(last))]
    assert batch["window_index"].tolist() == expected
