"""From logits to facts, against loops over pairs and relations."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from finecl_hf.data.documents import Document, Fact, Mention
from finecl_hf.extraction.calibration import fit_calibration
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.predictions import (
    Candidates,
    JudgedCandidates,
    best_threshold,
    candidate_rows,
    decode_rows,
    document_candidates,
    evidence_of_pairs,
    fit_decision,
    judged_sentences,
    official_predictions,
    probabilities,
    relation_scores,
    score_documents,
    score_sentences,
)
from finecl_hf.metrics import docred_scores


RELATIONS = ["NA", "r1", "r2", "r3"]


def config(loss="adaptive_threshold", relations=RELATIONS, **kwargs):
    label2id = {relation: i for i, relation in enumerate(relations)}
    return FineCLConfig(label2id=label2id, id2label={i: r for r, i in label2id.items()}, loss=loss, **kwargs)


def batch_of(*entity_counts, pairs=None):
    """All ordered pairs of documents with so many entities, numbered through as the collator does."""
    flat, counts, base = [], [], 0
    for number, size in enumerate(entity_counts):
        found = pairs[number] if pairs else [(h, t) for h in range(size) for t in range(size) if h != t]
        flat += [(base + h, base + t) for h, t in found]
        counts.append(len(found))
        base += size
    return {
        "pairs": torch.tensor(flat, dtype=torch.long).reshape(-1, 2),
        "pair_counts": counts,
        "entity_counts": list(entity_counts),
    }


def document(title, size, facts=(), **kwargs):
    words = [f"w{i}" for i in range(size)]
    entities = [[Mention(words[i], 0, i, i + 1)] for i in range(size)]
    return Document(title, [words], entities, [Fact(*fact) for fact in facts], **kwargs)


def random_logits(batch, seed=0, relations=4):
    return torch.randn(len(batch["pairs"]), relations, generator=torch.Generator().manual_seed(seed))


def loop(logits, batch, loss):
    """(score, head, tail, relation) of every candidate of each document, best first."""
    result, row, base = [], 0, 0
    for pairs, entities in zip(batch["pair_counts"], batch["entity_counts"], strict=True):
        found = []
        for _ in range(pairs):
            head, tail = (batch["pairs"][row] - base).tolist()
            for relation in range(1, logits.shape[1]):
                score = logits[row, relation] - (0 if loss == "bce" else logits[row, 0])
                found.append((float(score), head, tail, relation))
            row += 1
        result.append(sorted(found, reverse=True))
        base += entities
    return result


def as_tuples(part):
    return list(zip(part.score.tolist(), part.head.tolist(), part.tail.tolist(), part.relation.tolist(), strict=True))


@pytest.mark.parametrize("loss", ["bce", "softmax", "adaptive_threshold"])
def test_scores_are_relative_to_na_where_it_competes(loss):
    logits = torch.tensor([[1.0, 3.0, -1.0], [0.5, 0.0, 2.0]], dtype=torch.bfloat16)
    scores = relation_scores(logits, config(loss, RELATIONS[:3]))
    assert scores.dtype == torch.float32 and scores[:, 0].eq(-torch.inf).all()
    expected = [[3.0, -1.0], [0.0, 2.0]] if loss == "bce" else [[2.0, -2.0], [-0.5, 1.5]]
    assert scores[:, 1:].tolist() == expected
    assert logits[0].tolist() == [1.0, 3.0, -1.0]  # untouched


@pytest.mark.parametrize("loss", ["bce", "adaptive_threshold"])
def test_candidates_are_those_of_the_loop(loss):
    batch = batch_of(3, 0, 1, 4, 2)
    logits = random_logits(batch)
    found = document_candidates(logits, batch, config(loss))
    expected = loop(logits, batch, loss)
    assert [len(part.score) for part in found] == [18, 0, 0, 36, 6]  # fewer than 64: all
    for part, candidates in zip(found, expected, strict=True):
        assert as_tuples(part) == candidates


def test_of_many_candidates_the_best_are_kept():
    batch = batch_of(9, 8, 3)  # 72, 56 and 6 pairs; 144, 112 and 18 candidates, of 216, 168 and 18
    logits = random_logits(batch)
    found = document_candidates(logits, batch, config())
    assert [len(part.score) for part in found] == [144, 112, 18]
    for part, candidates in zip(found, loop(logits, batch, "softmax"), strict=True):
        assert as_tuples(part) == candidates[: len(part.score)]


def test_na_is_never_a_candidate():
    batch = batch_of(2)
    logits = torch.full((2, 4), -1e4)
    logits[:, 0] = 1e4
    (part,) = document_candidates(logits, batch, config())
    assert len(part.score) == 6 and 0 not in part.relation and np.isfinite(part.score).all()


def test_judged_pairs_only():
    batch = batch_of(5, 3, pairs=[[(4, 1)], []])
    first, second = document_candidates(random_logits(batch), batch, config())
    assert set(zip(first.head.tolist(), first.tail.tolist(), strict=True)) == {(4, 1)} and len(first.score) == 3
    assert len(second.score) == 0


def test_a_batch_without_pairs():
    found = document_candidates(torch.zeros(0, 4), batch_of(1, 0), config())
    assert [len(part.score) for part in found] == [0, 0]


def test_above_is_strict():
    part = Candidates(*(np.array([1, 2, 3]) for _ in range(3)), np.array([0.5, 0.25, 0.0], np.float32))
    assert part.above(0.25).head.tolist() == [1] and part.above(-1).head.tolist() == [1, 2, 3]
    assert len(part.above(9).score) == 0


# Thresholds and submissions -----------------------------------------------------------------------


@pytest.fixture
def scored():
    batch = batch_of(4, 3, 1)
    candidates = document_candidates(random_logits(batch, seed=5), batch, config())
    documents = [
        document("a", 4, [(0, 1, "r1"), (0, 1, "r2"), (3, 2, "r3")]),
        document("b", 3, [(2, 0, "r1")]),
        document("c", 1),
    ]
    return documents, candidates


def test_official_rows_are_what_exceeds_the_threshold(scored):
    documents, candidates = scored
    rows = official_predictions(documents, candidates, config(threshold=0.3))
    assert rows == [
        {"title": document.title, "h_idx": head, "t_idx": tail, "r": RELATIONS[relation], "evidence": []}
        for document, part in zip(documents, candidates, strict=True)
        for score, head, tail, relation in as_tuples(part)
        if score > 0.3
    ]
    assert 0 < len(rows) < 54 and all(type(row["h_idx"]) is int for row in rows)


def test_the_best_threshold_beats_every_other(scored):
    documents, candidates = scored
    best = best_threshold(JudgedCandidates.of(documents, candidates, config()))
    every = sorted({score for part in candidates for score in part.score.tolist()})
    f1 = {
        threshold: score_documents(documents, candidates, config(threshold=threshold))["f1"]
        for threshold in [every[0] - 1, *every]
    }
    assert score_documents(documents, candidates, config(threshold=best))["f1"] == max(f1.values()) > 0


def test_gold_facts_out_of_reach_count_against_recall(scored):
    """A fact that truncation hid is no candidate, yet it is missed."""
    documents, candidates = scored
    hidden = [candidates[0], candidates[2], candidates[2]]  # nothing of document b
    every = best_threshold(JudgedCandidates.of(documents, hidden, config()))
    scores = score_documents(documents, hidden, config(threshold=every))
    assert scores["recall"] <= 3 / 4
    official = docred_scores(official_predictions(documents, hidden, config(threshold=every)), documents)
    del official["evidence_f1"]  # nothing is predicted that it could judge
    assert 0 < scores.pop("ece") < 1
    rate = scores.pop("co_occurrence_fpr")  # of 6 + 12 pairs in one sentence, two and one are no NA
    rows = official_predictions(documents, hidden, config(threshold=every))
    wrong = {(row["title"], row["h_idx"], row["t_idx"]) for row in rows} - {("a", 0, 1), ("a", 3, 2), ("b", 2, 0)}
    assert wrong and rate == pytest.approx(len(wrong) / (18 - 3))
    assert scores == official


def test_calibrated_probabilities_keep_their_order(scored):
    documents, candidates = scored
    correct = JudgedCandidates.of(documents, candidates, config()).correct
    for part, right in zip(candidates, np.split(correct, [36]), strict=False):
        part.score += 2 * right  # a model that knows something
    fitted = config()
    fit_decision(documents, candidates, fitted)
    assert fitted.threshold == best_threshold(JudgedCandidates.of(documents, candidates, config()))
    judged = JudgedCandidates.of(documents, candidates, fitted)
    scores, correct = judged.score, judged.correct
    assert correct.sum() == 4 and len(scores) == 54
    assert (fitted.temperature, fitted.score_bias) == fit_calibration(scores, correct) != (1.0, 0.0)
    told = probabilities(scores, fitted)
    assert told == pytest.approx(1 / (1 + np.exp(-(scores / fitted.temperature + fitted.score_bias))))
    figures = [score_documents(documents, candidates, c) for c in (fitted, config(threshold=fitted.threshold))]
    assert figures[0].pop("ece") < figures[1].pop("ece") and figures[0] == figures[1]


def test_without_candidates_nothing_is_predicted():
    empty = document_candidates(torch.zeros(0, 4), batch_of(1), config())
    documents = [document("c", 1)]
    threshold = best_threshold(JudgedCandidates.of(documents, empty, config()))
    assert official_predictions(documents, empty, config(threshold=threshold)) == []


def test_training_facts_are_ignored_in_ign_f1(scored):
    documents, candidates = scored
    scores = score_documents(documents, candidates, config(threshold=-10.0), [replace(documents[0], title="train")])
    assert scores["ign_f1"] < scores["f1"]


@pytest.mark.parametrize("padding", [0, 3])
def test_rows_to_gather_hold_the_candidates(padding):
    batch = batch_of(3, 0, 2, 5)
    logits, settings = random_logits(batch), config()
    rows = candidate_rows(logits, batch, settings)
    assert rows.shape[0] == 4 and rows.shape[2] == 4 and rows.dtype == torch.float32
    rows = torch.nn.functional.pad(rows, (0, 0, 0, padding), value=-100)  # as the Trainer pads for other processes
    for part, same in zip(
        document_candidates(logits, batch, settings), decode_rows(list(rows.numpy()), settings), strict=True
    ):
        for name in ("head", "tail", "relation", "score"):
            assert getattr(part, name).tolist() == getattr(same, name).tolist()
    assert (
        decode_rows(list(candidate_rows(torch.zeros(0, 4), batch_of(1, 0), settings).numpy()), settings)[1].score.size
        == 0
    )


# Sentences ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["bce", "softmax", "adaptive_threshold"])
def test_a_sentence_gets_its_best_label_and_na_out_of_reach(loss):
    batch = batch_of(2, 2, 2, 2, pairs=[[(0, 1)], [], [(1, 0)], [(0, 1)]])
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0], [3.0, 1.0, 2.0, -1.0], [0.0, 1.0, 0.0, -1.0]])
    settings = config(loss, task="sentence")
    rows = candidate_rows(logits, batch, settings)
    assert rows.tolist() == [[2.0, 2.0], [-100.0, -100.0], [2.0, -1.0], [1.0, 1.0]]
    assert decode_rows(list(rows.numpy()), settings) == [RELATIONS[i] for i in (2, 0, 0, 1)]


def test_sentences_are_judged_by_their_best_relation():
    settings = config("softmax", task="sentence")
    gold = [
        document("s", 2, [(0, 1, r)] if r != "NA" else []) for r in (RELATIONS[2], RELATIONS[1], "NA", RELATIONS[1])
    ]
    rows = list(np.array([[2.0, 2.0], [-100.0, -100.0], [2.0, -1.0], [1.0, 1.0]]))
    score, correct = judged_sentences(gold, rows, settings)
    assert score.tolist() == [2.0, -1.0, 1.0] and correct.tolist() == [True, False, True]
    assert not len(judged_sentences([], [], settings)[0])


@pytest.mark.parametrize("loss", ["bce", "softmax", "adaptive_threshold"])
def test_the_best_candidate_of_a_sentence_is_its_label(loss):
    """The pipeline, which takes the best candidate above 0, and the evaluation agree."""
    batch = batch_of(*[2] * 50, pairs=[[(0, 1)]] * 50)
    logits = random_logits(batch)
    settings = config(loss, task="sentence")
    best = [RELATIONS[[*part.above(0).relation, 0][0]] for part in document_candidates(logits, batch, settings)]
    assert best == decode_rows(list(candidate_rows(logits, batch, settings).numpy()), settings)
    assert set(best) == set(RELATIONS)


def test_no_sentence_within_reach():
    settings = config("softmax", task="sentence")
    assert decode_rows(
        list(candidate_rows(torch.zeros(0, 4), batch_of(2, pairs=[[]]), settings).numpy()), settings
    ) == ["NA"]


def test_sentence_scores_and_semevals_own_figure():
    labels = ["Cause-Effect(e1,e2)", "NA", "Cause-Effect(e2,e1)"]
    directed = [document(f"s{i}", 2, [(0, 1, r)] if r != "NA" else []) for i, r in enumerate(labels)]
    right = score_sentences(directed, labels)
    assert right["accuracy"] == right["f1"] == 1.0 and "semeval_macro_f1" in right
    wrong = score_sentences(directed, [labels[2], "NA", labels[0]])  # directions swapped
    assert score_sentences(directed, labels[:1] * 3)["co_occurrence_fpr"] == 1.0 > wrong["co_occurrence_fpr"]
    assert wrong["accuracy"] == pytest.approx(1 / 3) and wrong["semeval_macro_f1"] == 0.0
    undirected = [document("s", 2, [(0, 1, "per:title")])]
    assert "semeval_macro_f1" not in score_sentences(undirected, ["NA"])


def test_relations_of_tacred_have_its_official_figure():
    labels = ["per:title", "org:founded", "NA", "NA"]
    gold = [document(f"s{i}", 2, [(0, 1, r)] if r != "NA" else []) for i, r in enumerate(labels)]
    scores = score_sentences(gold, ["per:title", "per:title", "org:founded", "NA"])
    assert scores["tacred_f1"] == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))
    assert "tacred_f1" not in score_sentences([document("s", 2, [(0, 1, "P19")])], ["P19"])


def test_evidence_is_every_sentence_with_more_than_its_share():
    shares = torch.tensor([[0.5, 0.1, 0.3], [0.2, 0.2, 0.2], [0.0, 0.0, 0.9]])
    assert evidence_of_pairs(shares).tolist() == [[0, 2, -1, -1], [-1] * 4, [2, -1, -1, -1]]
    assert evidence_of_pairs(torch.full((1, 6), 0.21)).shape == (1, 4)
    assert evidence_of_pairs(torch.zeros(2, 0)).tolist() == [[-1] * 4] * 2


def test_evidence_goes_with_its_pair_through_gathering_into_official_rows():
    batch = batch_of(3, 0, 2)
    logits = random_logits(batch)
    shares = torch.zeros(len(batch["pairs"]), 9)
    shares[torch.arange(len(shares)), torch.arange(len(shares))] = 0.6  # sentence = number of the pair
    rows = candidate_rows(logits, batch, config(), shares)
    assert rows.shape[2] == 8
    decoded = decode_rows(list(rows.numpy()), config())
    numbers = {tuple(pair): number for number, pair in enumerate(batch["pairs"].tolist())}
    first_entity = [0, 3, 3]
    for part, first in zip(decoded, first_entity, strict=True):
        found = zip(part.head, part.tail, part.evidence_sentences(), strict=True)
        assert all(told == [numbers[head + first, tail + first]] for head, tail, told in found)
    documents = [document("a", 3), document("b", 0), document("c", 2)]
    official = official_predictions(documents, decoded, config(threshold=-1e9))
    assert official and all(len(row["evidence"]) == 1 for row in official)
    assert "evidence_f1" in score_documents(documents, decoded, config())
    silent = decode_rows(list(candidate_rows(logits, batch, config()).numpy()), config())
    assert "evidence_f1" not in score_documents(documents, silent, config())


def test_a_settled_threshold_leaves_out_what_it_would_reject():
    batch = batch_of(3, 0, 4)
    logits = random_logits(batch)
    for threshold in (0.3, np.array([0.0, 0.5, -0.5, 2.0]), 1e9):
        every = [part.above(threshold) for part in document_candidates(logits, batch, config())]
        found = document_candidates(logits, batch, config(), threshold=threshold)
        for one, other in zip(every, found, strict=True):
            for name in ("head", "tail", "relation", "score"):
                assert getattr(one, name).tolist() == getattr(other, name).tolist()
