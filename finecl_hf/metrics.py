"""Scores of relation extraction, equal to the figures of the tasks' official scorers, as fractions.

Documents: [`docred_scores`] and [`co_occurrence_fpr`]. Sentences: [`semeval_scores`], [`tacred_scores`] and, for any
other label set, [`sentence_scores`]. [`fit_threshold`] chooses the score from which on a fact is predicted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from finecl_hf.data.documents import NA, Document
from finecl_hf.errors import DocumentError, FineCLError


FactTuple = tuple[str, int, int, str]  # title, head, tail, relation
DIRECTION = re.compile(r"\(e[12],e[12]\)$")  # the end of a SemEval label such as Cause-Effect(e1,e2)


def docred_f1_path() -> str:
    """Folder of the `evaluate` module `docred_f1`: `evaluate.load(docred_f1_path())` needs no network."""
    return str(Path(__file__).parent / "evaluate_modules" / "docred_f1")


def docred_scores(
    predictions: Iterable[Mapping[str, Any]],
    documents: Iterable[Document | dict[str, Any]],
    train_documents: Iterable[Document | dict[str, Any]] | None = None,
) -> dict[str, float]:
    """Scores facts as DocRED's official evaluation script does (Yao et al., ACL 2019; thunlp/DocRED, evaluation.py).

    A fact predicted twice counts once, with the evidence of its first row. A fact under a title that no document
    bears counts as wrong, and its evidence not at all. A correct fact was seen in training if any mention name of its
    head, any of its tail and its relation make up a fact there; such facts leave numerator and denominator of the
    precision in Ign F1, but not its recall. Where nothing is left the first version of the script divides by zero;
    the 1e-5 that its current copies add to that denominator is part of the figure here, so that Ign F1 without
    training documents is a trace below F1. Without predictions, or without gold facts, every score is zero.

    Intra and inter F1 are not in the official script: F1 over the facts whose two entities have, or have not, mentions
    in a common sentence, gold and predicted facts split alike. A prediction with an unknown title or entity is in
    neither.

    Args:
        predictions: rows `{"title", "h_idx", "t_idx", "r"}`, with `"evidence"` (sentence numbers) where predicted.
        documents: gold documents, as `Document` or in DocRED's layout. Like the official script, this merges the
            facts of documents that share a title.
        train_documents: the training documents whose facts Ign F1 ignores, in either form.

    Returns:
        `f1`, `ign_f1`, `precision`, `recall`, `evidence_f1`, `intra_f1` and `inter_f1`.

    Raises:
        FineCLError: naming the prediction or document that cannot be read.
    """
    documents = list(_as_documents(documents, "documents"))
    by_title = {document.title: document for document in documents}
    gold = {
        (document.title, fact.head, fact.tail, fact.relation): set(fact.evidence)
        for document in documents
        for fact in document.relations
    }
    submitted = _distinct_predictions(predictions)
    correct = submitted.keys() & gold.keys()
    seen = _named_facts(_as_documents(train_documents or (), "train_documents"))
    in_train = sum(_is_seen(fact, by_title, seen) for fact in correct)

    precision, recall = _ratio(len(correct), len(submitted)), _ratio(len(correct), len(gold))
    ign_precision = (len(correct) - in_train) / (len(submitted) - in_train + 1e-5)
    return {
        "f1": _f1(precision, recall),
        "ign_f1": _f1(ign_precision, recall),
        "precision": precision,
        "recall": recall,
        "evidence_f1": _evidence_f1(submitted, gold, documents),
        "intra_f1": _split_f1(submitted, gold, by_title, intra=True),
        "inter_f1": _split_f1(submitted, gold, by_title, intra=False),
    }


def co_occurrence_fpr(
    predictions: Iterable[Mapping[str, Any]],
    documents: Iterable[Document | dict[str, Any]],
    train_documents: Iterable[Document | dict[str, Any]] | None = None,
) -> float:
    """How often a relation is predicted between entities that merely stand together.

    Of the judged ordered pairs of two entities that are gold NA (no fact holds from head to tail), have mentions in a
    common sentence, and whose head and tail type are those of some gold fact, the share for which any relation is
    predicted. An entity's type is that of its first mention. Where either corpus gives no type at all, pairs of all
    types count. Predictions with an unknown title or entity count nowhere; documents that share a title are one, as in
    [`docred_scores`].

    Args:
        predictions: as [`docred_scores`] takes them.
        documents: gold documents, as `Document` or in DocRED's layout.
        train_documents: the documents whose facts tell the types that go together; those of `documents` by default.

    Returns:
        The share, from 0 to 1; 0.0 where there is no such pair.

    Raises:
        FineCLError: naming the prediction or document that cannot be read.
    """
    documents = list(_as_documents(documents, "documents"))
    sources = documents if train_documents is None else list(_as_documents(train_documents, "train_documents"))
    typed = all(
        any(entity[0].type for document in part for entity in document.entities) for part in (documents, sources)
    )
    signatures = _type_signatures(sources) if typed else None
    by_title = {document.title: document for document in documents}
    predicted, gold = {title: set() for title in by_title}, {title: set() for title in by_title}
    for document in documents:
        gold[document.title].update((fact.head, fact.tail) for fact in document.relations)
    for title, head, tail, _ in _distinct_predictions(predictions):
        if title in predicted:
            predicted[title].add((head, tail))
    num_pairs = num_wrong = 0
    for title, document in by_title.items():
        tempting = _co_occurring(document, signatures)
        tempting &= ~_pair_mask(gold[title], len(tempting))
        num_pairs += int(tempting.sum())
        num_wrong += int((tempting & _pair_mask(predicted[title], len(tempting))).sum())
    return _ratio(num_wrong, num_pairs)


def fit_threshold(scores: Sequence[float], correct: Sequence[bool], num_gold: int) -> tuple[float, float]:
    """The threshold with the best F1 when every candidate with `score > threshold` is predicted, and that F1.

    Equal scores are predicted together or not at all. The threshold lies midway between the lowest score predicted and
    the highest one left out, rounded in the scores' own precision, so that a later comparison cannot round it to a
    score's other side. Of equally good thresholds the highest is taken; where none beats zero, it predicts nothing.

    Args:
        scores: (N,) finite scores of the candidate facts.
        correct: (N,) whether each candidate is a gold fact.
        num_gold: number of gold facts, those that are no candidate included.

    Returns:
        `(threshold, f1)`; `(0.0, 0.0)` without candidates.
    """
    scores, correct = np.asarray(scores), np.asarray(correct, dtype=bool)
    if scores.ndim != 1 or scores.shape != correct.shape:
        raise FineCLError(
            f"scores of shape {scores.shape} do not fit correct of shape {correct.shape}; give two (N,) arrays."
        )
    if scores.size == 0:
        return 0.0, 0.0
    if not np.issubdtype(scores.dtype, np.floating):
        scores = scores.astype(np.float64)
    if not np.isfinite(scores).all():
        raise FineCLError(f"scores[{np.isfinite(scores).argmin()}] is not finite; no threshold can be fitted to it.")
    if num_gold < correct.sum():
        raise FineCLError(
            f"num_gold is {num_gold}, yet {correct.sum()} candidates are correct; count every gold fact."
        )

    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(correct[order])
    cuts = np.append(np.flatnonzero(scores[:-1] > scores[1:]), scores.size - 1)  # last position of each run of equals
    f1 = 2 * hits[cuts] / (cuts + 1 + num_gold)
    best = int(f1.argmax())
    infinity = scores.dtype.type(np.inf)
    if f1[best] == 0:
        return float(np.nextafter(scores[0], infinity)), 0.0
    lowest, left_out = scores[cuts[best]], scores[cuts[best] + 1 :]
    threshold = _between(left_out[0], lowest) if left_out.size else np.nextafter(lowest, -infinity)
    return float(threshold), float(f1[best])


def semeval_scores(predictions: Sequence[str], references: Sequence[str], other: str = "Other") -> dict[str, float]:
    """Scores directed labels as the official scorer of SemEval-2010 Task 8 does (Hendrickx et al. 2010; version 1.2).

    The figures are those of its "(9+1)-way evaluation with directionality taken into account": a label such as
    `Cause-Effect(e2,e1)` counts for the relation `Cause-Effect`, and is right only if its direction is right too, so
    that a wrong direction costs precision and recall. The macro average runs over the relations in the references,
    `Other` left out; a predicted relation that no reference has counts as `Other`.

    Returns:
        `macro_f1` (the official score), `micro_f1` (without `Other`) and `accuracy` (with `Other`).
    """
    predictions, references = _aligned(predictions, references)
    proposed = Counter(DIRECTION.sub("", label) for label in predictions)
    gold = Counter(DIRECTION.sub("", label) for label in references)
    hits = [label for label, answer in zip(predictions, references, strict=True) if label == answer]
    correct = Counter(DIRECTION.sub("", label) for label in hits)
    relations = sorted(gold.keys() - {other})
    return {
        "macro_f1": _macro_f1(correct, proposed, gold, relations),
        "micro_f1": _micro(correct, proposed, gold, relations)[2],
        "accuracy": len(hits) / len(references),
    }


def tacred_scores(
    predictions: Sequence[str], references: Sequence[str], no_relation: str = "no_relation"
) -> dict[str, float]:
    """Micro-averaged scores without `no_relation`, as TACRED's official scorer gives them (Zhang et al., EMNLP 2017).

    As there, the precision of a system that predicts no relation at all is 1 (it made no mistake); its F1 is 0.

    Returns:
        `precision`, `recall` and `f1`.
    """
    correct, proposed, gold = _counts(*_aligned(predictions, references))
    relations = (proposed.keys() | gold.keys()) - {no_relation}
    precision, recall, f1 = _micro(correct, proposed, gold, relations)
    if not any(proposed[relation] for relation in relations):
        precision = 1.0
    return {"precision": precision, "recall": recall, "f1": f1}


def sentence_scores(predictions: Sequence[str], references: Sequence[str], na: str = NA) -> dict[str, float]:
    """Scores one label a sentence, for any label set.

    Returns:
        `accuracy` over all labels; `precision`, `recall` and `f1`, micro-averaged without `na`; `macro_f1` over the
        labels in the references, `na` left out.
    """
    predictions, references = _aligned(predictions, references)
    correct, proposed, gold = _counts(predictions, references)
    precision, recall, f1 = _micro(correct, proposed, gold, (proposed.keys() | gold.keys()) - {na})
    return {
        "accuracy": correct.total() / len(references),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "macro_f1": _macro_f1(correct, proposed, gold, sorted(gold.keys() - {na})),
    }


def false_positive_rate(predictions: Sequence[str], references: Sequence[str], na: str = NA) -> float:
    """The share of references `na` for which another label is predicted; 0.0 where there is none."""
    answers = [label for label, answer in zip(*_aligned(predictions, references), strict=True) if answer == na]
    return _ratio(sum(label != na for label in answers), len(answers))


# Documents ----------------------------------------------------------------------------------------
def _as_documents(documents: Iterable[Any], source: str) -> Iterator[Document]:
    for i, document in enumerate(documents):
        if isinstance(document, Document):
            yield document
            continue
        try:
            yield Document.from_dict(document)
        except DocumentError as error:
            title = document.get("title") if isinstance(document, dict) else None
            raise DocumentError(error.message, error.field, source, i, title) from None


def predicted_titles(predictions: Iterable[Any]) -> set[str]:
    """Titles of the documents that predictions are of."""
    return {fact[0] for fact in _distinct_predictions(predictions)}


def _distinct_predictions(predictions: Iterable[Any]) -> dict[FactTuple, set[int]]:
    """Evidence of each distinct fact: of its first row, which the official script's stable sort keeps in front."""
    distinct: dict[FactTuple, set[int]] = {}
    for i, row in enumerate(predictions):
        fact, evidence = _parse_prediction(row, f"predictions[{i}]")
        distinct.setdefault(fact, evidence)
    return distinct


def _parse_prediction(row: Any, where: str) -> tuple[FactTuple, set[int]]:
    if not isinstance(row, Mapping):
        raise FineCLError(f"{where}: expected an object with title, h_idx, t_idx and r, found {row!r:.60}.")
    for key in ("title", "h_idx", "t_idx", "r"):
        if key not in row:
            raise FineCLError(f'{where}: the key "{key}" is missing.')
    title = str(row["title"]) if isinstance(row["title"], Integral) else row["title"]  # as documents are read
    for key, text in (("title", title), ("r", row["r"])):
        if not isinstance(text, str):
            raise FineCLError(f"{where}.{key}: expected a string, found {text!r:.60}.")
    head, tail = (_integer(row[key], f"{where}.{key}") for key in ("h_idx", "t_idx"))
    evidence = row.get("evidence")
    if evidence is None:
        return (title, head, tail, row["r"]), set()
    if isinstance(evidence, str) or not isinstance(evidence, Iterable):
        raise FineCLError(f"{where}.evidence: expected a list of sentence numbers, found {evidence!r:.60}.")
    return (title, head, tail, row["r"]), {_integer(sentence, f"{where}.evidence") for sentence in evidence}


def _integer(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):  # numpy's integers are Integral
        raise FineCLError(f"{where}: expected an integer, found {value!r:.60}.")
    return int(value)


def _named_facts(documents: Iterable[Document]) -> set[tuple[str, str, str]]:
    """(head name, tail name, relation) for every combination of the names under which a fact's entities occur."""
    return {
        (head, tail, fact.relation)
        for document in documents
        for fact in document.relations
        for head in document.entity_names(fact.head)
        for tail in document.entity_names(fact.tail)
    }


def _is_seen(fact: FactTuple, by_title: dict[str, Document], seen: set[tuple[str, str, str]]) -> bool:
    document, relation = by_title[fact[0]], fact[3]
    if not _has_entities(document, fact):  # only where documents share a title
        return False
    head_names, tail_names = (document.entity_names(entity) for entity in fact[1:3])
    return any((head, tail, relation) in seen for head in head_names for tail in tail_names)


def _has_entities(document: Document, fact: FactTuple) -> bool:
    return all(0 <= entity < len(document.entities) for entity in fact[1:3])


def _evidence_f1(
    submitted: dict[FactTuple, set[int]], gold: dict[FactTuple, set[int]], documents: Sequence[Document]
) -> float:
    titles = {document.title for document in documents}
    num_predicted = sum(len(evidence) for fact, evidence in submitted.items() if fact[0] in titles)
    num_correct = sum(len(evidence & gold[fact]) for fact, evidence in submitted.items() if fact in gold)
    # Counted label by label, repeated sentences included, as officially. The one departure: of a label that a raw
    # document writes twice, `Document` keeps the first, while the official script adds up the evidence of both.
    num_gold = sum(len(fact.evidence) for document in documents for fact in document.relations)
    return _f1(_ratio(num_correct, num_predicted), _ratio(num_correct, num_gold))


def _split_f1(
    submitted: Iterable[FactTuple], gold: Iterable[FactTuple], by_title: dict[str, Document], intra: bool
) -> float:
    submitted, gold = (
        {fact for fact in facts if _shares_sentence(fact, by_title) is intra} for facts in (submitted, gold)
    )
    num_correct = len(submitted & gold)
    return _f1(_ratio(num_correct, len(submitted)), _ratio(num_correct, len(gold)))


def _shares_sentence(fact: FactTuple, by_title: dict[str, Document]) -> bool | None:
    """Whether some sentence mentions both entities; None where the document or an entity does not exist."""
    document = by_title.get(fact[0])
    if document is None or not _has_entities(document, fact):
        return None
    head, tail = ({mention.sent_id for mention in document.entities[entity]} for entity in fact[1:3])
    return not head.isdisjoint(tail)


def _type_signatures(documents: Iterable[Document]) -> set[tuple[str, str]]:
    """(head type, tail type) of every fact."""
    return {document.types_of(fact) for document in documents for fact in document.relations}


def _co_occurring(document: Document, signatures: set[tuple[str, str]] | None) -> np.ndarray:
    """(E, E) bool: the judged pairs with mentions in a common sentence and, where given, one of these signatures."""
    size = len(document.entities)
    if not size:
        return np.zeros((0, 0), dtype=bool)
    mentions = [(number, mention.sent_id) for number, entity in enumerate(document.entities) for mention in entity]
    stands_in = np.zeros((size, len(document.sentences)), dtype=np.float32)
    stands_in[tuple(np.array(mentions).T)] = 1
    together = stands_in @ stands_in.T > 0
    if signatures is not None:
        types, number = np.unique([entity[0].type for entity in document.entities], return_inverse=True)
        allowed = np.array([[(head, tail) in signatures for tail in types.tolist()] for head in types.tolist()])
        together &= allowed[number[:, None], number]
    if document.pairs is not None:
        return together & _pair_mask(document.pairs, size)
    return together & ~np.eye(size, dtype=bool)


def _pair_mask(pairs: Iterable[tuple[int, int]], size: int) -> np.ndarray:
    """(E, E) bool: which pairs are among these; those of unknown entities are left out."""
    mask = np.zeros((size, size), dtype=bool)
    known = np.array([pair for pair in pairs if 0 <= min(pair) and max(pair) < size], dtype=np.int64).reshape(-1, 2)
    mask[tuple(known.T)] = True
    return mask


# Labels and counts --------------------------------------------------------------------------------
def _aligned(predictions: Iterable[str], references: Iterable[str]) -> tuple[list[str], list[str]]:
    predictions, references = list(predictions), list(references)
    if len(predictions) != len(references):
        raise FineCLError(
            f"there are {len(predictions)} predictions for {len(references)} references; give one label for each."
        )
    if not references:
        raise FineCLError("there is nothing to score: predictions and references are empty.")
    return predictions, references


def _counts(predictions: list[str], references: list[str]) -> tuple[Counter, Counter, Counter]:
    """How often each label is predicted correctly, predicted, and gold."""
    correct = Counter(label for label, answer in zip(predictions, references, strict=True) if label == answer)
    return correct, Counter(predictions), Counter(references)


def _micro(correct: Counter, proposed: Counter, gold: Counter, relations: Iterable[str]) -> tuple[float, float, float]:
    """Precision, recall and F1 over the counts of `relations`, added up."""
    num_correct, num_proposed, num_gold = (sum(counts[r] for r in relations) for counts in (correct, proposed, gold))
    precision, recall = _ratio(num_correct, num_proposed), _ratio(num_correct, num_gold)
    return precision, recall, _f1(precision, recall)


def _macro_f1(correct: Counter, proposed: Counter, gold: Counter, relations: Sequence[str]) -> float:
    return _ratio(sum(_micro(correct, proposed, gold, [relation])[2] for relation in relations), len(relations))


def _between(low: np.floating, high: np.floating) -> np.floating:
    """Midway between two scores: at least `low` and less than `high`, even where no number lies between them."""
    middle = low / 2 + high / 2  # halved first: their sum may overflow
    return middle if low <= middle < high else low


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
