"""What of a document a model judges at a time: all of it, a stretch of a very large one, or one pair's sentence."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from finecl_hf.data.documents import MOST_ENTITIES, Document, Mention


MOST_WORDS = 20_000  # that are encoded at a time: what a model holds of each token takes memory


@dataclass(slots=True)
class Part:
    """A document by itself, and where it stands in the whole.

    Attributes:
        document: without labels.
        entities: number of each of its entities in the whole.
        sentences: number of each of its sentences in the whole; None where it is the whole.
    """

    document: Document
    entities: list[int] | None = None
    sentences: list[int] | None = None

    def in_whole(self, triple: dict) -> dict:
        """A triple of this part, with the numbers of the whole."""
        if self.entities is not None:
            triple |= {name: self.entities[triple[name]] for name in ("h_idx", "t_idx")}
        if self.sentences is not None and triple.get("evidence"):
            triple["evidence"] = sorted({self.sentences[sentence] for sentence in triple["evidence"]})
        return triple


class Stretch(NamedTuple):
    """Words `start` to `end` of a sentence."""

    sent_id: int
    start: int
    end: int


def parts_of(document: Document, one_pair: bool, reach: int | None = None) -> Iterator[Part]:
    """Yields what a model judges of a document; together, all pairs of it that stand in one stretch.

    Args:
        document: of any size; labels are left out.
        one_pair: judge each pair in a sentence of its own, as models for sentences do; see [`pair_parts`].
        reach: of those, pairs of so many sentences or fewer; None for any.
    """
    bare = Document(document.title, document.sentences, document.entities, pairs=document.pairs, text=document.text)
    if one_pair and document.is_sentence:
        yield Part(bare)
    elif one_pair:
        yield from pair_parts(bare, reach)
    elif document.pairs is None and len(document.entities) > MOST_ENTITIES or _num_words(document) > MOST_WORDS:
        yield from large_parts(bare)
    else:
        yield Part(bare)


def pair_parts(document: Document, reach: int | None = None) -> Iterator[Part]:
    """Yields documents in which one judged pair and nothing else is marked: each sentence where both stand, or, where
    there is none, the sentences from one to the other where they stand nearest.

    Args:
        document: of several entities.
        reach: leave out pairs that need more sentences than that.
    """
    positions = [positions_of(entity) for entity in document.entities]
    for head, tail in document.judged_pairs:
        for one, other in _nearest_in_each_sentence(positions[head], positions[tail]):
            mentions = document.entities[head][one], document.entities[tail][other]
            first, last = sorted(mention.sent_id for mention in mentions)
            if reach is not None and last - first >= reach:
                continue
            moved = [[Mention(m.name, m.sent_id - first, m.start, m.end, m.type, m.kb_id)] for m in mentions]
            excerpt = Document(document.title, document.sentences[first : last + 1], moved, pairs=[(0, 1)])
            yield Part(excerpt, [head, tail], list(range(first, last + 1)))


def nearest(one: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """The mentions of two entities that stand nearest to each other: in sentences, then in words.

    Args:
        one, other: (M, 2) sentence and word of each mention.

    Returns:
        The number of each.
    """
    least = _least_gap(one[:, 0], other[:, 0])
    # Sentences so far apart that a word of another one is never the nearest; sorted, as entities of a book have
    # more mentions than a table of all pairs of them has room for
    width = 2 * (int(max(one[:, 1].max(), other[:, 1].max())) + 1)
    wanted = one[:, 0] * width + one[:, 1]
    found = []
    for shift in (least, -least):
        keys = (other[:, 0] + shift) * width + other[:, 1]
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        behind = np.searchsorted(keys, wanted)
        before = np.searchsorted(keys, keys[np.maximum(behind - 1, 0)])
        for place in (np.minimum(behind, len(keys) - 1), before):
            gaps = np.abs(keys[place] - wanted)
            first = int(gaps.argmin())
            found.append((int(gaps[first]), first, int(order[place[first]])))
    return min(found)[1:]


def _least_gap(one: np.ndarray, other: np.ndarray) -> int:
    """The least difference between a number of the one and a number of the other."""
    ordered = np.unique(other)
    place = np.searchsorted(ordered, one)
    behind, before = ordered[np.minimum(place, len(ordered) - 1)], ordered[np.maximum(place - 1, 0)]
    return int(np.minimum(np.abs(behind - one), np.abs(before - one)).min())


def positions_of(entity: list[Mention]) -> np.ndarray:
    """(M, 2) sentence and first word of the mentions of an entity."""
    return np.array([(mention.sent_id, mention.start) for mention in entity])


def _nearest_in_each_sentence(one: np.ndarray, other: np.ndarray) -> Iterator[tuple[int, int]]:
    shared = np.intersect1d(one[:, 0], other[:, 0])
    if not len(shared):
        yield nearest(one, other)
    for sentence in shared:
        inside = [np.flatnonzero(positions[:, 0] == sentence) for positions in (one, other)]
        first, second = nearest(one[inside[0]], other[inside[1]])
        yield int(inside[0][first]), int(inside[1][second])


def large_parts(document: Document) -> Iterator[Part]:
    """Yields a large document in parts of `MOST_ENTITIES` entities and `MOST_WORDS` words at most, cut at the borders
    of sentences, or, in sentences that alone have more, between mentions. Pairs of entities that share no part are
    judged nowhere."""
    starts = _mentions_by_sentence(document)
    chosen: list[Stretch] = []
    entities: set[int] = set()
    words = 0
    for stretch in _stretches(document, starts):
        inside = {entity for entity, number in _within(stretch, starts, document)}
        size = stretch.end - stretch.start
        if chosen and (len(entities | inside) > MOST_ENTITIES or words + size > MOST_WORDS):
            yield _part(document, chosen, starts)
            chosen, entities, words = [], set(), 0
        chosen.append(stretch)
        entities |= inside
        words += size
    if chosen:
        yield _part(document, chosen, starts)


Places = dict[int, list[tuple[int, int, int]]]  # sentence: first word, entity and number of each mention


def _mentions_by_sentence(document: Document) -> Places:
    found: Places = defaultdict(list)
    for entity, mentions in enumerate(document.entities):
        for number, mention in enumerate(mentions):
            found[mention.sent_id].append((mention.start, entity, number))
    for mentions in found.values():
        mentions.sort()
    return found


def _within(stretch: Stretch, places: Places, document: Document) -> list[tuple[int, int]]:
    """Entity and number of each mention that a stretch holds whole."""
    mentions = places.get(stretch.sent_id, [])
    first, last = (bisect_left(mentions, (word,)) for word in (stretch.start, stretch.end))
    return [(entity, number) for _, entity, number in mentions[first:last]
            if document.entities[entity][number].end <= stretch.end]  # fmt: skip


def _stretches(document: Document, places: Places) -> Iterator[Stretch]:
    """Sentences, and pieces of those that alone have too much."""
    for sent_id, sentence in enumerate(document.sentences):
        mentions = [(start, document.entities[entity][number].end, entity)
                    for start, entity, number in places.get(sent_id, [])]  # fmt: skip
        if len({entity for *_, entity in mentions}) <= MOST_ENTITIES and len(sentence) <= MOST_WORDS:
            yield Stretch(sent_id, 0, len(sentence))
            continue
        begin, reach, inside = 0, 0, set()
        for start, end, entity in [*mentions, (len(sentence), len(sentence), -1)]:
            free = max(reach, begin)  # no mention stands over this border
            while end - begin > MOST_WORDS and start >= reach and start > begin:
                cut = min(begin + MOST_WORDS, start) if begin + MOST_WORDS >= free else free
                yield Stretch(sent_id, begin, cut)
                begin, inside = cut, set()
            if start >= reach and start > begin and len(inside | {entity}) > MOST_ENTITIES:
                yield Stretch(sent_id, begin, start)
                begin, inside = start, set()
            inside.add(entity)
            reach = max(reach, end)
        if begin < len(sentence):
            yield Stretch(sent_id, begin, len(sentence))


def _part(document: Document, stretches: list[Stretch], places: Places) -> Part:
    entities: dict[int, list[Mention]] = {}
    for number, stretch in enumerate(stretches):
        for entity, place in _within(stretch, places, document):
            m = document.entities[entity][place]
            moved = Mention(m.name, number, m.start - stretch.start, m.end - stretch.start, m.type, m.kb_id)
            entities.setdefault(entity, []).append(moved)
    numbers = sorted(entities)
    place_of = {entity: place for place, entity in enumerate(numbers)}
    pairs = None
    if document.pairs is not None:
        pairs = [(place_of[head], place_of[tail]) for head, tail in document.pairs
                 if head in place_of and tail in place_of]  # fmt: skip
    sentences = [document.sentences[s.sent_id][s.start : s.end] for s in stretches]
    part = Document(document.title, sentences, [entities[entity] for entity in numbers], pairs=pairs)
    return Part(part, numbers, [stretch.sent_id for stretch in stretches])


def _num_words(document: Document) -> int:
    return sum(map(len, document.sentences))
