"""Scorers against hand-computed cases and against slow loops written after the official algorithms."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finecl_hf.data.documents import Document
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.metrics import (
    co_occurrence_fpr,
    docred_scores,
    false_positive_rate,
    fit_threshold,
    semeval_scores,
    sentence_scores,
    tacred_scores,
)


def row(title, head, tail, relation, evidence=None):
    prediction = {"title": title, "h_idx": head, "t_idx": tail, "r": relation}
    return prediction if evidence is None else {**prediction, "evidence": evidence}


def raw(title, entities, labels):
    """A DocRED dict from entities as lists of (name, sentence) and labels as (head, tail, relation, evidence)."""
    return {
        "title": title,
        "sents": [["word"] for _ in range(4)],
        "vertexSet": [
            [{"name": name, "sent_id": sentence, "pos": [0, 1], "type": "MISC"} for name, sentence in mentions]
            for mentions in entities
        ],
        "labels": [{"h": h, "t": t, "r": r, "evidence": evidence} for h, t, r, evidence in labels],
    }


# DocRED -------------------------------------------------------------------------------------------


@pytest.fixture
def gold():
    """Entities 0 and 1 share sentence 0; entity 2 stands alone in sentence 1. Two facts within, two across."""
    entities = [[("Ada", 0)], [("Babbage", 0), ("Charles", 2)], [("London", 1)]]
    labels = [(0, 1, "knows", [0]), (1, 0, "knows", [0, 2]), (0, 2, "lives in", [0, 1]), (1, 2, "lives in", [])]
    return [raw("Ada", entities, labels)]


def test_plain_figures(gold):
    predictions = [row("Ada", 0, 1, "knows", [0, 3]), row("Ada", 0, 2, "lives in", [1]), row("Ada", 2, 1, "knows")]
    scores = docred_scores(predictions, gold)
    assert scores["precision"] == 2 / 3
    assert scores["recall"] == 2 / 4
    assert scores["f1"] == pytest.approx(4 / 7)
    assert scores["ign_f1"] == pytest.approx(4 / 7, abs=1e-5)
    assert scores["evidence_f1"] == pytest.approx(2 * (2 / 3) * (2 / 5) / (2 / 3 + 2 / 5))  # 2 of 3; 2 of 5
    assert scores["intra_f1"] == pytest.approx(2 / 3)  # 1 predicted, 2 gold, 1 correct
    assert scores["inter_f1"] == pytest.approx(1 / 2)  # 2 predicted, 2 gold, 1 correct


def test_perfect_predictions_score_one(gold):
    predictions = [row("Ada", label["h"], label["t"], label["r"], label["evidence"]) for label in gold[0]["labels"]]
    scores = docred_scores(predictions, gold)
    assert scores.pop("ign_f1") == pytest.approx(1, abs=1e-5)
    assert set(scores.values()) == {1.0}


def test_a_repeated_prediction_counts_once_with_its_first_evidence(gold):
    first, second = row("Ada", 0, 1, "knows", [0]), row("Ada", 0, 1, "knows", [1, 2, 3])
    other = row("Ada", 0, 2, "knows", [])
    assert docred_scores([first, other, second, first], gold) == docred_scores([first, other], gold)
    assert docred_scores([second, first, other], gold) == docred_scores([second, other], gold)
    assert docred_scores([first, second], gold)["precision"] == 1


def test_an_unknown_title_costs_precision_but_its_evidence_is_not_counted(gold):
    right = row("Ada", 0, 1, "knows", [0])
    scores = docred_scores([right, row("Nobody", 0, 1, "knows", [0, 1, 2])], gold)
    assert scores["precision"] == 1 / 2
    assert scores["recall"] == 1 / 4
    for key in ("evidence_f1", "intra_f1", "inter_f1"):
        assert scores[key] == docred_scores([right], gold)[key]


def test_an_unknown_entity_costs_precision_and_belongs_to_neither_split(gold):
    right = row("Ada", 0, 1, "knows", [0])
    scores = docred_scores([right, row("Ada", 0, 7, "knows"), row("Ada", -1, 0, "knows")], gold)
    assert scores["precision"] == 1 / 3
    assert scores["intra_f1"] == docred_scores([right], gold)["intra_f1"]
    assert scores["inter_f1"] == 0


def test_facts_seen_in_training_under_any_name_leave_ign_f1(gold):
    predictions = [row("Ada", 0, 1, "knows"), row("Ada", 0, 2, "lives in"), row("Ada", 2, 0, "knows")]
    train = [raw("Train", [[("Ada", 0)], [("Charles", 0), ("Chuck", 1)]], [(0, 1, "knows", [])])]
    scores = docred_scores(predictions, gold, train)
    precision, recall = (2 - 1) / (3 - 1 + 1e-5), 2 / 4  # Charles is a second name of Babbage
    assert scores["ign_f1"] == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-12)
    assert scores["f1"] == docred_scores(predictions, gold)["f1"]


@pytest.mark.parametrize("names", [("Charles", "Ada"), ("Ada", "charles")])
def test_training_facts_are_directed_and_their_names_exact(gold, names):
    train = [raw("Train", [[(names[0], 0)], [(names[1], 0)]], [(0, 1, "knows", [])])]
    predictions = [row("Ada", 0, 1, "knows")]
    assert docred_scores(predictions, gold, train) == docred_scores(predictions, gold)


def test_a_wrong_prediction_seen_in_training_stays_in_the_denominator(gold):
    train = [raw("Train", [[("Ada", 0)], [("London", 0)]], [(0, 1, "knows", [])])]
    predictions = [row("Ada", 0, 1, "knows"), row("Ada", 0, 2, "knows")]
    assert docred_scores(predictions, gold, train) == docred_scores(predictions, gold)


def test_ign_f1_is_zero_where_training_has_seen_every_prediction(gold):
    scores = docred_scores([row("Ada", 0, 1, "knows")], gold, gold)
    assert (scores["precision"], scores["ign_f1"]) == (1, 0)


def test_no_predictions_and_no_gold_score_zero(gold):
    unlabelled = [{key: value for key, value in gold[0].items() if key != "labels"}]
    for predictions, documents in [
        ([], gold),
        ([], []),
        ([row("Ada", 0, 1, "knows", [0])], []),
        ([row("Ada", 0, 1, "knows", [0])], unlabelled),
    ]:
        scores = docred_scores(predictions, documents, gold)
        assert set(scores.values()) == {0.0}, scores


def test_documents_and_raw_dicts_and_generators_score_alike(gold, ada, curie):
    predictions = [row("Ada", 0, 1, "knows", [0]), row("Curie", 0, 1, "born in", [0])]
    documents = [*map(Document.from_dict, gold), curie]
    mixed = (document for document in [gold[0], curie.to_dict()])
    expected = docred_scores(predictions, documents, [ada])
    assert docred_scores(iter(predictions), mixed, iter([ada.to_dict()])) == expected


def test_numpy_integers_and_arrays_are_welcome(gold):
    plain = docred_scores([row("Ada", 0, 1, "knows", [0])], gold)
    assert docred_scores([row("Ada", np.int64(0), np.int32(1), "knows", np.array([0]))], gold) == plain
    assert docred_scores([{**row("Ada", 0, 1, "knows", [0]), "score": 0.9}], gold) == plain


def test_documents_of_one_title_are_merged_without_failing(gold):
    small = raw("Ada", [[("Ada", 0)], [("Bob", 0)]], [(0, 1, "likes", [])])
    scores = docred_scores([row("Ada", 0, 2, "lives in"), row("Ada", 0, 1, "likes")], [*gold, small], gold)
    assert (scores["precision"], scores["recall"]) == (1, 2 / 5)


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        ({"title": "Ada", "h_idx": 0, "t_idx": 1}, r'predictions\[1\]: the key "r" is missing'),
        (row("Ada", "0", 1, "knows"), r"predictions\[1\]\.h_idx: expected an integer, found '0'"),
        (row("Ada", 0, 1.0, "knows"), r"predictions\[1\]\.t_idx: expected an integer, found 1\.0"),
        (row("Ada", True, 1, "knows"), r"predictions\[1\]\.h_idx: expected an integer, found True"),
        (row("Ada", 0, 1, 17), r"predictions\[1\]\.r: expected a string, found 17"),
        (row(None, 0, 1, "knows"), r"predictions\[1\]\.title: expected a string, found None"),
        (row("Ada", 0, 1, "knows", "0"), r"predictions\[1\]\.evidence: expected a list of sentence numbers"),
        (row("Ada", 0, 1, "knows", ["0"]), r"predictions\[1\]\.evidence: expected an integer, found '0'"),
        ("Ada", r"predictions\[1\]: expected an object with title, h_idx, t_idx and r, found 'Ada'"),
    ],
)
def test_a_bad_prediction_is_named(gold, prediction, message):
    with pytest.raises(FineCLError, match=message):
        docred_scores([row("Ada", 0, 1, "knows"), prediction], gold)


def test_a_bad_document_is_named(gold):
    del gold[0]["sents"]
    with pytest.raises(DocumentError, match=r'train_documents, document 0 \("Ada"\): the key "sents" is missing'):
        docred_scores([], [], gold)


NAMES, RELATIONS = st.sampled_from(["a", "b", "c"]), st.sampled_from(["r1", "r2"])
SENTENCES = st.lists(st.integers(0, 3), max_size=3)


@st.composite
def corpora(draw, titles):
    documents = []
    for title in titles:
        mentions = st.lists(st.tuples(NAMES, st.integers(0, 3)), min_size=1, max_size=2)
        entities = draw(st.lists(mentions, min_size=2, max_size=3))
        pairs = [(h, t) for h in range(len(entities)) for t in range(len(entities)) if h != t]
        facts = draw(st.lists(st.tuples(st.sampled_from(pairs), RELATIONS), unique=True, max_size=5))
        documents.append(raw(title, entities, [(h, t, r, draw(SENTENCES)) for (h, t), r in facts]))
    return documents


INDEX = st.integers(0, 2)
ROWS = st.builds(row, st.sampled_from(["A", "B", "unknown"]), INDEX, INDEX, RELATIONS, st.none() | SENTENCES)


def official_docred_loop(predictions, documents, train_documents):
    """(F1, Ign F1, precision, recall, evidence F1) step by step, as the official script goes about it."""
    standard, sentences, total_evidence = {}, {}, 0
    for document in documents:
        sentences[document["title"]] = document["vertexSet"]
        for label in document["labels"]:
            standard[document["title"], label["r"], label["h"], label["t"]] = set(label["evidence"])
            total_evidence += len(label["evidence"])
    train = []
    for document in train_documents:
        for label in document["labels"]:
            for head in document["vertexSet"][label["h"]]:
                for tail in document["vertexSet"][label["t"]]:
                    train.append((head["name"], tail["name"], label["r"]))

    def key(x):
        return x["title"], x["h_idx"], x["t_idx"], x["r"]

    ordered = sorted(predictions, key=key)
    answers = [x for i, x in enumerate(ordered) if i == 0 or key(x) != key(ordered[i - 1])]
    correct = correct_evidence = predicted_evidence = in_train = 0
    for x in answers:
        if x["title"] not in sentences:
            continue
        evidence = set(x.get("evidence", []))
        predicted_evidence += len(evidence)
        fact = (x["title"], x["r"], x["h_idx"], x["t_idx"])
        if fact in standard:
            correct += 1
            correct_evidence += len(standard[fact] & evidence)
            found = False
            for head in sentences[x["title"]][x["h_idx"]]:
                for tail in sentences[x["title"]][x["t_idx"]]:
                    found = found or (head["name"], tail["name"], x["r"]) in train
            in_train += found

    def f1(p, r):
        return 0 if p + r == 0 else 2 * p * r / (p + r)

    precision = correct / len(answers) if answers else 0
    recall = correct / len(standard) if standard else 0
    evidence_precision = correct_evidence / predicted_evidence if predicted_evidence else 0
    evidence_recall = correct_evidence / total_evidence if total_evidence else 0
    ign_precision = (correct - in_train) / (len(answers) - in_train + 1e-5)
    return (
        f1(precision, recall),
        f1(ign_precision, recall),
        precision,
        recall,
        f1(evidence_precision, evidence_recall),
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(ROWS, max_size=12), corpora(["A", "B"]), corpora(["C"]), st.data())
def test_docred_scores_equal_the_official_algorithm(predictions, documents, train_documents, data):
    gold_rows = [row(d["title"], x["h"], x["t"], x["r"], x["evidence"]) for d in documents for x in d["labels"]]
    if gold_rows:  # random rows alone are seldom right
        predictions = predictions + data.draw(st.lists(st.sampled_from(gold_rows), max_size=6))
    scores = docred_scores(predictions, documents, train_documents)
    figures = [scores[key] for key in ("f1", "ign_f1", "precision", "recall", "evidence_f1")]
    assert figures == pytest.approx(official_docred_loop(predictions, documents, train_documents), abs=1e-12)
    assert all(0 <= score <= 1 for score in scores.values())


# Threshold ----------------------------------------------------------------------------------------


# False positives among pairs that merely stand together -------------------------------------------


def typed(title, entities, labels, types, pairs=None):
    document = raw(title, [[(f"e{i}", sentence) for sentence in where] for i, where in enumerate(entities)], [
        (head, tail, relation, []) for head, tail, relation in labels
    ])  # fmt: skip
    for entity, entity_type in zip(document["vertexSet"], types, strict=True):
        for mention in entity:
            mention["type"] = entity_type
    return document if pairs is None else {**document, "pairs": pairs}


def test_co_occurrence_fpr_by_hand():
    """Of the pairs PER -> LOC in one sentence, (0, 1) is a fact; (2, 1) is NA, as (0, 3) is, which share none."""
    gold = [typed("a", [[0], [0, 1], [1], [2]], [(0, 1, "born in")], ["PER", "LOC", "PER", "LOC"])]
    right, wrong = row("a", 0, 1, "born in"), row("a", 2, 1, "born in")
    assert co_occurrence_fpr([right], gold) == 0.0
    assert co_occurrence_fpr([right, wrong, row("a", 2, 1, "died in")], gold) == 1.0
    assert co_occurrence_fpr([row("a", 0, 3, "born in"), row("a", 1, 0, "r"), row("b", 2, 1, "r")], gold) == 0.0
    training = [typed("t", [[0], [0]], [(0, 1, "lies in")], ["LOC", "PER"])]
    assert co_occurrence_fpr([wrong, row("a", 1, 0, "lies in")], gold, training) == 1 / 2  # (1, 0) and (1, 2)
    assert co_occurrence_fpr([wrong], gold, []) == 1 / 3  # no type there: all NA pairs in one sentence
    assert co_occurrence_fpr([wrong], []) == 0.0


def co_occurrence_loop(predictions, documents, train_documents):
    every = [*documents] if train_documents is None else train_documents
    has_types = all(any(m["type"] for d in part for e in d["vertexSet"] for m in e[:1]) for part in (documents, every))
    signatures = {
        tuple(d["vertexSet"][fact[end]][0]["type"] for end in "ht") for d in every for fact in d["labels"]
    }  # fmt: skip
    judged = wrong = 0
    for d in documents:
        for h, head in enumerate(d["vertexSet"]):
            for t, tail in enumerate(d["vertexSet"]):
                if h == t or ("pairs" in d and [h, t] not in d["pairs"]):
                    continue
                if has_types and (head[0]["type"], tail[0]["type"]) not in signatures:
                    continue
                if not any(m["sent_id"] == n["sent_id"] for m in head for n in tail):
                    continue
                if any((fact["h"], fact["t"]) == (h, t) for fact in d["labels"]):
                    continue
                judged += 1
                wrong += any((p["title"], p["h_idx"], p["t_idx"]) == (d["title"], h, t) for p in predictions)
    return wrong / judged if judged else 0.0


@pytest.mark.parametrize("seed", range(20))
def test_co_occurrence_fpr_equals_the_loop(seed):
    draw = np.random.default_rng(seed)

    def corpus(title):
        result = []
        for number in range(3):
            size = int(draw.integers(0, 6))
            every = [[h, t] for h in range(size) for t in range(size) if h != t]
            pairs = [pair for pair in every if draw.random() < 0.7] if draw.random() < 0.3 else None
            facts = [(h, t, "r") for h, t in (every if pairs is None else pairs) if draw.random() < 0.3]
            where = [draw.choice(4, size=draw.integers(1, 4), replace=False).tolist() for _ in range(size)]
            types = draw.choice(["PER", "LOC", ""] if seed % 4 else [""], size=size).tolist()
            result.append(typed(f"{title}{number}", where, facts, types, pairs))
        return result

    documents, training = corpus("d"), corpus("t")
    predictions = [row(f"d{draw.integers(0, 4)}", *draw.integers(0, 7, size=2).tolist(), "r") for _ in range(40)]
    for source in (None, training):
        rate = co_occurrence_fpr(predictions, documents, source)
        assert rate == pytest.approx(co_occurrence_loop(predictions, documents, source), abs=1e-12)


def test_false_positives_among_sentences():
    assert false_positive_rate(["a", "NA", "b", "a"], ["NA", "NA", "NA", "b"]) == pytest.approx(2 / 3)
    assert false_positive_rate(["a"], ["b"]) == 0.0


def best_f1_loop(scores, correct, num_gold):
    """Best F1 over every threshold that a set of candidates can be cut at, one by one."""
    best = 0.0
    for threshold in set(scores):
        chosen = [hit for score, hit in zip(scores, correct, strict=True) if score >= threshold]
        best = max(best, 2 * sum(chosen) / (len(chosen) + num_gold))
    return best


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-5, 5) | st.floats(-3, 3, width=32), st.booleans()), max_size=15),
    st.integers(0, 4),
    st.sampled_from([np.float32, np.float64]),
)
def test_fit_threshold_is_exact(candidates, missed, dtype):
    scores = np.array([score for score, _ in candidates], dtype=dtype)
    correct = np.array([hit for _, hit in candidates], dtype=bool)
    num_gold = int(correct.sum()) + missed
    threshold, f1 = fit_threshold(scores, correct, num_gold)
    assert isinstance(threshold, float) and isinstance(f1, float)
    assert f1 == best_f1_loop(scores.tolist(), correct.tolist(), num_gold)
    chosen = scores > threshold  # the float32 comparison that a user writes
    assert f1 == (2 * int((chosen & correct).sum()) / (int(chosen.sum()) + num_gold) if f1 else 0.0)
    if not f1:
        assert not chosen.any()


def test_fit_threshold_cuts_midway():
    assert fit_threshold([4.0, 3.0, 1.0, 0.0], [True, True, False, False], 2) == (2.0, 1.0)
    assert fit_threshold([0.0, 3.0, 1.0, 4.0], [False, True, False, True], 2) == (2.0, 1.0)
    threshold, f1 = fit_threshold([4.0, 3.0, 1.0, 0.5], [True, True, False, True], 3)  # everything is predicted
    assert f1 == 6 / 7 and threshold == pytest.approx(0.5) and threshold < 0.5


def test_fit_threshold_counts_gold_facts_that_are_no_candidates():
    assert fit_threshold([2.0, 1.0], [True, False], 4) == (1.5, 2 / 5)


def test_fit_threshold_cannot_cut_between_equal_scores():
    threshold, f1 = fit_threshold([1.0, 1.0, 0.0], [False, True, False], 1)
    assert (threshold, f1) == (0.5, 2 / 3)
    assert fit_threshold([1.0, 1.0, 0.0], [True, False, False], 1) == (threshold, f1)


def test_fit_threshold_between_neighbouring_numbers():
    for low in (np.float32(1), np.float64(1), np.float32(-1), np.float16(0.5), np.float64(0)):
        high = np.nextafter(low, type(low)(np.inf))
        scores = np.array([low, high])
        threshold, f1 = fit_threshold(scores, [False, True], 1)
        assert f1 == 1 and (scores > threshold).tolist() == [False, True]


def test_fit_threshold_without_candidates_or_hits():
    assert fit_threshold([], [], 3) == (0.0, 0.0)
    threshold, f1 = fit_threshold([1, 2], [False, False], 0)
    assert f1 == 0 and threshold > 2 and math.isfinite(threshold)


@pytest.mark.parametrize(
    ("scores", "correct", "num_gold", "message"),
    [
        ([1.0, 2.0], [True], 1, "do not fit"),
        ([1.0, float("nan")], [True, True], 2, r"scores\[1\] is not finite"),
        ([1.0, 2.0], [True, True], 1, "num_gold is 1, yet 2 candidates are correct"),
    ],
)
def test_fit_threshold_refuses_what_cannot_be_right(scores, correct, num_gold, message):
    with pytest.raises(FineCLError, match=message):
        fit_threshold(scores, correct, num_gold)


# Sentences ----------------------------------------------------------------------------------------


def test_semeval_counts_a_wrong_direction_against_precision_and_recall():
    references = ["Cause-Effect(e1,e2)", "Cause-Effect(e2,e1)", "Message-Topic(e1,e2)", "Other", "Other"]
    predictions = ["Cause-Effect(e1,e2)", "Cause-Effect(e1,e2)", "Other", "Message-Topic(e1,e2)", "Other"]
    scores = semeval_scores(predictions, references)
    # Cause-Effect: 1 of 2 proposed, 1 of 2 gold. Message-Topic: 0 of 1, 0 of 1.
    assert scores == {"macro_f1": 0.5 / 2, "micro_f1": pytest.approx(1 / 3), "accuracy": 2 / 5}


def test_semeval_ignores_proposed_relations_that_no_reference_has():
    references = ["Cause-Effect(e1,e2)", "Cause-Effect(e1,e2)", "Other"]
    scores = semeval_scores(["Cause-Effect(e1,e2)", "Entity-Origin(e1,e2)", "Entity-Origin(e2,e1)"], references)
    assert scores == {"macro_f1": pytest.approx(2 / 3), "micro_f1": pytest.approx(2 / 3), "accuracy": 1 / 3}
    assert semeval_scores(["Cause-Effect(e1,e2)", "Other", "Other"], references)["macro_f1"] == scores["macro_f1"]


def test_semeval_macro_averages_undirected_relations():
    references = ["Cause-Effect(e1,e2)"] * 3 + ["Cause-Effect(e2,e1)"] + ["Entity-Origin(e1,e2)"] * 2
    predictions = ["Cause-Effect(e1,e2)"] * 4 + ["Entity-Origin(e1,e2)", "Cause-Effect(e2,e1)"]
    scores = semeval_scores(predictions, references)
    cause, origin = 2 * (3 / 5) * (3 / 4) / (3 / 5 + 3 / 4), 2 / 3
    assert scores["macro_f1"] == pytest.approx((cause + origin) / 2)
    assert scores["micro_f1"] == pytest.approx(4 / 6)


def test_semeval_all_other_scores_zero_without_failing():
    assert semeval_scores(["Other", "Other"], ["Other", "Other"]) == {"macro_f1": 0, "micro_f1": 0, "accuracy": 1}
    assert semeval_scores(["NA", "X(e1,e2)"], ["NA", "X(e1,e2)"], other="NA")["macro_f1"] == 1


def test_tacred_is_micro_without_no_relation():
    references = ["a", "a", "b", "no_relation", "no_relation"]
    predictions = ["a", "b", "no_relation", "a", "no_relation"]
    assert tacred_scores(predictions, references) == {"precision": 1 / 3, "recall": 1 / 3, "f1": pytest.approx(1 / 3)}
    renamed = [[label.replace("no_relation", "NA") for label in labels] for labels in (predictions, references)]
    assert tacred_scores(*renamed, no_relation="NA") == tacred_scores(predictions, references)


def test_tacred_without_a_prediction_follows_the_official_script():
    assert tacred_scores(["no_relation"] * 2, ["a", "b"]) == {"precision": 1, "recall": 0, "f1": 0}
    assert tacred_scores(["a", "b"], ["no_relation"] * 2) == {"precision": 0, "recall": 0, "f1": 0}


def test_sentence_scores():
    references = ["a", "a", "a", "b", "NA", "NA"]
    predictions = ["a", "a", "c", "NA", "NA", "b"]
    scores = sentence_scores(predictions, references)
    assert scores["accuracy"] == 3 / 6
    assert (scores["precision"], scores["recall"]) == (2 / 4, 2 / 4)
    assert scores["f1"] == pytest.approx(1 / 2)
    assert scores["macro_f1"] == pytest.approx((4 / 5 + 0) / 2)  # a: 2 of 2 and 2 of 3; b: none; c is in no reference
    assert sentence_scores(["NA"], ["NA"]) == {"accuracy": 1, "precision": 0, "recall": 0, "f1": 0, "macro_f1": 0}
    assert sentence_scores(["O"], ["O"], na="O")["f1"] == 0


@pytest.mark.parametrize("scorer", [semeval_scores, tacred_scores, sentence_scores])
def test_label_lists_must_be_aligned_and_filled(scorer):
    with pytest.raises(FineCLError, match="there are 1 predictions for 2 references"):
        scorer(["Other"], ["Other", "Other"])
    with pytest.raises(FineCLError, match="nothing to score"):
        scorer([], [])


LABELS = st.sampled_from(["A-B(e1,e2)", "A-B(e2,e1)", "C-D(e1,e2)", "C-D(e2,e1)", "E-F(e1,e2)", "Other"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=30))
def test_semeval_equals_the_official_tables(pairs):
    """The official script's confusion table, filled cell by cell, with its extra row for wrong directions."""
    table, proposed, gold, wrong_direction = {}, {}, {}, {}
    for prediction, reference in pairs:
        guess, answer = prediction.split("(")[0], reference.split("(")[0]
        gold[answer] = gold.get(answer, 0) + 1
        if guess == answer and prediction != reference:
            wrong_direction[answer] = wrong_direction.get(answer, 0) + 1
        else:
            table[guess, answer] = table.get((guess, answer), 0) + 1
            proposed[guess] = proposed.get(guess, 0) + 1

    def f1(correct, num_proposed, num_gold):
        return 2 * correct / (num_proposed + num_gold)

    rows = [
        (table.get((r, r), 0), proposed.get(r, 0) + wrong_direction.get(r, 0), gold[r]) for r in gold if r != "Other"
    ]
    scores = semeval_scores(*map(list, zip(*pairs, strict=True)))
    assert scores["macro_f1"] == pytest.approx(sum(f1(*counts) for counts in rows) / len(rows) if rows else 0)
    assert scores["micro_f1"] == pytest.approx(f1(*map(sum, zip(*rows, strict=True))) if rows else 0)
    assert scores["accuracy"] == sum(table.get((r, r), 0) for r in gold) / len(pairs)


def test_metrics_need_no_torch():
    code = "import sys, finecl_hf.metrics; assert not {'torch', 'transformers', 'datasets'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
