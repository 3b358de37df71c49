"""Documents are judged in parts that lose no pair but those that no part holds."""

import random

import numpy as np
import pytest

from finecl_hf.data.documents import Document, Mention
from finecl_hf.extraction import parts
from finecl_hf.extraction.parts import large_parts, nearest, pair_parts, parts_of


def pairs_in_whole(part):
    return {(part.entities[head], part.entities[tail]) for head, tail in part.document.judged_pairs}


def same_mentions(document, part):
    """Every mention of a part reads as it does in the whole."""
    for entity, number in zip(part.document.entities, part.entities, strict=True):
        for mention in entity:
            words = part.document.mention_text(mention)
            assert words in {document.mention_text(one) for one in document.entities[number]}


def test_what_is_small_is_one_part(ada):
    (part,) = parts_of(ada, one_pair=False)
    assert part.document.entities == ada.entities and part.entities is None and not part.document.relations


def test_each_pair_in_its_sentences(ada):
    found = list(pair_parts(ada))
    assert {pair for part in found for pair in pairs_in_whole(part)} == set(ada.judged_pairs)
    for part in found:
        same_mentions(ada, part)
        assert part.document.is_sentence
    across = next(part for part in found if part.entities == [1, 3])  # London, Charles Babbage
    assert across.sentences == [0, 1] and len(across.document.sentences) == 2
    within = next(part for part in found if part.entities == [0, 3])
    assert within.sentences == [1] and within.document.entities[0][0].name == "Lovelace"
    assert not [part for part in pair_parts(ada, reach=1) if len(part.sentences) > 1]


def test_a_pair_that_stands_in_several_sentences_is_judged_in_each():
    entities = [[Mention(name, sentence, word, word + 1) for sentence in (0, 2)] for word, name in enumerate("ab")]
    found = list(pair_parts(Document("t", [["a", "b"]] * 3, entities)))
    assert [part.sentences for part in found] == [[0], [2]] * 2


def test_the_nearest_of_many_mentions_without_a_table_of_all_pairs():
    draw = np.random.default_rng(0)
    for _ in range(300):
        one, other = (draw.integers(0, draw.integers(1, 9, 2), (draw.integers(1, 8), 2)) for _ in range(2))
        gaps = np.abs(one[:, None] - other[None])
        order = sorted((*gaps[i, j], i, j) for i in range(len(one)) for j in range(len(other)))
        assert nearest(one, other) == order[0][2:]
    many = np.stack([np.arange(100_000), np.arange(100_000) % 7], axis=1)
    assert nearest(many, many[::-1]) == (0, 99_999)


def test_judged_pairs_stay_the_only_ones(ada):
    ada.pairs = [(1, 2), (0, 3)]
    assert {pair for part in pair_parts(ada) for pair in pairs_in_whole(part)} == set(ada.pairs)


@pytest.mark.parametrize("seed", range(30))
def test_large_documents_are_cut_without_losing_a_mention(seed, monkeypatch):
    monkeypatch.setattr(parts, "MOST_ENTITIES", 4)
    monkeypatch.setattr(parts, "MOST_WORDS", 12)
    draw = random.Random(seed)
    sentences = [[f"w{s}.{i}" for i in range(draw.choice([0, 2, 5, 40]))] for s in range(draw.randrange(1, 6))]
    full = [s for s, sentence in enumerate(sentences) if sentence]
    entities = []
    for _ in range(draw.randrange(1, 12) if full else 0):
        entity = []
        for _ in range(draw.randrange(1, 3)):
            s = draw.choice(full)
            start = draw.randrange(len(sentences[s]))
            end = min(len(sentences[s]), start + draw.choice([1, 1, 3]))
            entity.append(Mention(" ".join(sentences[s][start:end]), s, start, end))
        entities.append(entity)
    document = Document("t", sentences, entities)
    found = list(large_parts(document))
    assert [word for part in found for sentence in part.document.sentences for word in sentence] == [
        word for sentence in sentences for word in sentence
    ]
    assert sum(len(entity) for part in found for entity in part.document.entities) == sum(map(len, entities))
    for part in found:
        same_mentions(document, part)
        overlap = max((e.end - e.start for entity in part.document.entities for (e) in entity), default=1) > 1
        assert len(part.document.entities) <= 4 or overlap
        assert sum(map(len, part.document.sentences)) <= 12 or overlap
        for number, sentence in enumerate(part.document.sentences):
            assert not sentence or set(sentence) <= set(sentences[part.sentences[number]])
