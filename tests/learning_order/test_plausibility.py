"""Plausibility against a loop-written version of its formula, and on corpora whose answer is known."""

import math

import numpy as np
import pytest

from finecl_hf.data.corpus import fact_columns
from finecl_hf.data.documents import Document, Fact, Mention
from finecl_hf.learning_order import plausibility
from finecl_hf.learning_order.plausibility import PlausibilityCounts, entity_distances
from finecl_hf.learning_order.table import LearningOrder


def random_documents(count, seed=0, pairs=False):
    rng = np.random.default_rng(seed)
    documents = []
    for number in range(count):
        sentences = [["w"] * int(rng.integers(3, 30)) for _ in range(rng.integers(1, 7))]
        entities = []
        for _ in range(rng.integers(0, 6)):
            mentions = []
            for _ in range(rng.integers(1, 4)):
                sentence = int(rng.integers(len(sentences)))
                start = int(rng.integers(len(sentences[sentence])))
                mentions.append(Mention("x", sentence, start, start + 1, str(rng.choice(["PER", "LOC", ""]))))
            entities.append(mentions)
        every = [(h, t) for h in range(len(entities)) for t in range(len(entities)) if h != t]
        facts = {(*every[i], f"r{rng.integers(3)}") for i in rng.integers(0, len(every), 4)} if every else set()
        judged = [pair for pair in every if pair in {fact[:2] for fact in facts} or rng.random() < 0.5]
        relations = [Fact(*fact) for fact in sorted(facts)]
        documents.append(Document(f"d{number}", sentences, entities, relations, pairs=judged if pairs else None))
    return documents


def counted(documents):
    counts = PlausibilityCounts()
    for document in documents:
        counts.add(fact_columns(document))
    return counts.log_odds()


def slow_distance(document, head, tail):
    """Sentences apart (at most 4) and signed distance in words of the closest mentions; forward where equally far."""
    start_of = [sum(map(len, document.sentences[:i])) for i in range(len(document.sentences))]
    pairs = [(h, t) for h in document.entities[head] for t in document.entities[tail]]
    steps = [start_of[t.sent_id] + t.start - start_of[h.sent_id] - h.start for h, t in pairs]
    return min(4, min(abs(h.sent_id - t.sent_id) for h, t in pairs)), min(steps, key=lambda s: (abs(s), s < 0))


def slow_bucket(distance):
    size = 0 if distance == 0 else min(1 + int(math.log2(abs(distance))), 9)
    return 10 + (size if distance >= 0 else -size)


def slow_log_odds(documents):
    labels, na = [], []
    for document in documents:
        labelled = {(fact.head, fact.tail) for fact in document.relations}

        def seen(head, tail, document=document):
            kind = document.entities[head][0].type, document.entities[tail][0].type
            sentences, words = slow_distance(document, head, tail)
            return kind, sentences, slow_bucket(words)

        na += [seen(*pair) for pair in document.judged_pairs if pair not in labelled]
        labels += [(fact.relation, *seen(fact.head, fact.tail)) for fact in document.relations]
    result = []
    for i, (relation, kind, *distances) in enumerate(labels):
        others = [label for j, label in enumerate(labels) if j != i and label[0] == relation]
        share = (len(others) + 1) / len(na)
        na_kind = [pair for pair in na if pair[0] == kind]
        odds = math.log(sum(label[1] == kind for label in others) + plausibility.TYPES_WEIGHT * share)
        odds -= math.log(len(na_kind) + plausibility.TYPES_WEIGHT) + plausibility.PRIOR * math.log(share)
        for k, (distance, columns) in enumerate(
            zip(distances, (plausibility.SENTENCES, plausibility.WORDS), strict=True)
        ):
            usual = sum(label[2 + k] == distance for label in labels) / len(labels)
            own = sum(label[2 + k] == distance for label in others) + plausibility.DISTANCE_WEIGHT * usual
            own /= len(others) + plausibility.DISTANCE_WEIGHT
            overall = (sum(pair[1 + k] == distance for pair in na) + 1) / (len(na) + columns)
            rest = sum(pair[1 + k] == distance for pair in na_kind) + plausibility.NA_WEIGHT * overall
            odds += (math.log(own) - math.log(rest / (len(na_kind) + plausibility.NA_WEIGHT))) / 2
        result.append(odds)
    return result


def slow_pair_odds(documents, relation, head_type, tail_type, *distances):
    """Of a pair without a label: the formula without its prior, in which no label is the pair's own."""
    labels, na = [], []
    for document in documents:
        labelled = {(fact.head, fact.tail): [] for fact in document.relations}
        for fact in document.relations:
            labelled[fact.head, fact.tail].append(fact.relation)
        for head, tail in document.judged_pairs:
            kind = document.entities[head][0].type, document.entities[tail][0].type
            sentences, words = slow_distance(document, head, tail)
            place = (kind, sentences, slow_bucket(words))
            na += [place] if (head, tail) not in labelled else []
            labels += [(name, *place) for name in labelled.get((head, tail), ())]
    own = [label for label in labels if label[0] == relation]
    kind = head_type, tail_type
    na_kind = [pair for pair in na if pair[0] == kind]
    odds = math.log(sum(label[1] == kind for label in own) + plausibility.TYPES_WEIGHT * len(own) / len(na))
    odds -= math.log(len(na_kind) + plausibility.TYPES_WEIGHT)
    sizes = plausibility.SENTENCES, plausibility.WORDS
    for k, (distance, columns) in enumerate(zip(distances, sizes, strict=True)):
        usual = (sum(label[2 + k] == distance for label in labels) + 1) / (len(labels) + columns)
        here = sum(label[2 + k] == distance for label in own) + plausibility.DISTANCE_WEIGHT * usual
        overall = (sum(pair[1 + k] == distance for pair in na) + 1) / (len(na) + columns)
        rest = sum(pair[1 + k] == distance for pair in na_kind) + plausibility.NA_WEIGHT * overall
        odds += math.log(here / (len(own) + plausibility.DISTANCE_WEIGHT)) / 2
        odds -= math.log(rest / (len(na_kind) + plausibility.NA_WEIGHT)) / 2
    return odds


@pytest.mark.parametrize("pairs", [False, True])
def test_pairs_without_a_label_against_loops(pairs):
    documents = random_documents(15, pairs=pairs)
    counts = PlausibilityCounts()
    for document in documents:
        counts.add(fact_columns(document))
    relations = ["NA", "r2", "r0", "r1"]  # in an order of their own
    odds = counts.pair_odds(relations)
    for document in documents[:6]:
        columns = fact_columns(document)
        size = len(document.entities)
        pairs = np.array([(h, t) for h in range(size) for t in range(size) if h != t], np.int64).reshape(-1, 2)
        places = [place[tuple(pairs.T)] for place in (counts.kinds_of(columns["entity_type"]),
                                                      *entity_distances(columns))]  # fmt: skip
        found = odds(*places)
        assert found.shape == (len(pairs), 4) and (found[:, 0] == -np.inf).all()
        for row, (head, tail) in enumerate(pairs.tolist()):
            types = [document.entities[entity][0].type for entity in (head, tail)]
            distance, words = slow_distance(document, head, tail)
            places = *types, distance, slow_bucket(words)
            expected = [slow_pair_odds(documents, name, *places) for name in relations[1:]]
            assert found[row, 1:].tolist() == pytest.approx(expected, abs=1e-9)


def test_pair_odds_of_nothing():
    odds = PlausibilityCounts().pair_odds(["r0"])
    assert odds(*np.zeros((3, 0), np.int64)).shape == (0, 1)


@pytest.mark.parametrize("pairs", [False, True])
def test_against_loops(pairs):
    documents = random_documents(25, pairs=pairs)
    np.testing.assert_allclose(counted(documents), slow_log_odds(documents), atol=1e-9)


def test_distances_against_loops():
    for document in random_documents(25, seed=1):
        sentences, words = entity_distances(fact_columns(document))
        for head in range(len(document.entities)):
            for tail in range(len(document.entities)):
                apart, steps = slow_distance(document, head, tail)
                assert sentences[head, tail] == apart
                assert words[head, tail] == slow_bucket(steps)


def test_order_of_documents_changes_nothing():
    documents = random_documents(20, seed=2)
    forward = dict(zip([d.instance_id(f) for d in documents for f in d.relations], counted(documents), strict=True))
    back = documents[::-1]
    for instance, odds in zip([d.instance_id(f) for d in back for f in d.relations], counted(back), strict=True):
        assert odds == pytest.approx(forward[instance], abs=1e-12)


def test_all_alike_without_na_pairs():
    sentences = [Document(f"s{i}", [["a", "b"]], [[Mention("a", 0, 0, 1)], [Mention("b", 0, 1, 2)]],
                          [Fact(0, 1, f"r{i % 2}")], pairs=[(0, 1)]) for i in range(6)]  # fmt: skip
    assert counted(sentences).tolist() == [0.0] * 6
    assert counted([]).tolist() == counted([Document("empty", [], [])]).tolist() == []


def test_wrong_types_and_far_mentions_are_less_plausible():
    def document(number, types, gap):
        words = ["x", *["w"] * gap, "y", *["w"] * 60, "z"]
        spots = [0, gap + 1, len(words) - 1]
        entities = [[Mention(words[s], 0, s, s + 1, t)] for s, t in zip(spots, types, strict=True)]
        return Document(f"d{number}", [words], entities, [Fact(0, 1, "born in")])

    documents = [document(i, ("PER", "LOC", "LOC"), 3) for i in range(20)]
    documents += [document(20, ("LOC", "PER", "LOC"), 3), document(21, ("PER", "LOC", "LOC"), 50)]
    odds = counted(documents)
    assert np.ptp(odds[:20]) < 1e-9
    assert odds[20] < odds[0] - 1
    assert odds[21] < odds[0] - 0.1


def test_a_table_holds_it(ada, curie):
    order = LearningOrder.for_documents([ada, curie])
    np.testing.assert_allclose(order.plausibility, counted([ada, curie]), rtol=1e-6)
    assert np.ptp(order.plausibility) > 0
