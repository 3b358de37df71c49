"""From logits to predicted facts, and to the files that official scorers read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from finecl_hf.data.documents import NA, Document
from finecl_hf.extraction.calibration import expected_calibration_error, fit_calibration, probability
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.type_constraints import allowed_relations


PADDING = -100.0  # of rows that are gathered; the Trainer pads with it, too
EVIDENCE_SHARE = 0.2  # a sentence with a larger one is evidence (DREEAM, Ma et al., EACL 2023); four can have that
MOST_EVIDENCE = 4


@dataclass
class Candidates:
    """The relations of one document that a model considers most likely, best first (K of them).

    Attributes:
        head, tail: (K,) entities.
        relation: (K,) relation ids, never NA.
        score: (K,) float32; predicted where it exceeds the model's threshold.
        evidence: (K, 4) sentences that show the relation, filled up with -1; None where the model does not tell.
    """

    head: np.ndarray
    tail: np.ndarray
    relation: np.ndarray
    score: np.ndarray
    evidence: np.ndarray | None = None

    def above(self, threshold: float | np.ndarray) -> Candidates:
        """Those that score more than a threshold, or than that of their relation (R,)."""
        kept = exceeds(self.score, self.relation, threshold)
        evidence = self.evidence[kept] if self.evidence is not None else None
        return Candidates(self.head[kept], self.tail[kept], self.relation[kept], self.score[kept], evidence)

    def evidence_sentences(self) -> list[list[int]]:
        """Of each candidate, in the order of the text."""
        if self.evidence is None:
            return [[] for _ in self.score]
        return [sorted(sentence for sentence in row if sentence >= 0) for row in self.evidence.tolist()]


def exceeds(score: np.ndarray, relation: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
    """(N,) bool: which candidates score more than a threshold, or than that of their relation (R,)."""
    return score > (threshold[relation] if isinstance(threshold, np.ndarray) else threshold)


def relation_scores(logits: torch.Tensor, config: FineCLConfig) -> torch.Tensor:
    """How much speaks for each relation of each pair, comparable over pairs; NA's column is -inf.

    Where NA competes (softmax, adaptive threshold, and any loss where a sentence gets its one best label) they are
    relative to NA's logit.

    Args:
        logits: (P, R).

    Returns:
        (P, R) float32.
    """
    logits = logits.float()
    independent = config.loss == "bce" and config.task == "document"
    scores = logits.clone() if independent else logits - logits[:, :1]
    scores[:, 0] = -torch.inf
    return scores


def document_candidates(
    logits: torch.Tensor,
    batch: dict[str, Any],
    config: FineCLConfig,
    evidence: torch.Tensor | None = None,
    threshold: float | np.ndarray = -np.inf,
) -> list[Candidates]:
    """The best-scored relations of each document of a batch, of those that the types of their entities allow.

    So many are kept that a threshold can be fitted on them (two for each pair on average), which bounds memory. Of
    models of sentences, which give a pair one label, it is the best relation of each pair.

    Args:
        logits: (P, R).
        batch: the fields of a `RelationBatch`.
        evidence: (P, S) share of each sentence, of models that tell it.
        threshold: only those that score more than this, or than that of their relation (R,), where it is settled.
    """
    sentences = evidence_of_pairs(evidence) if evidence is not None else None
    first_pair = np.cumsum([0, *batch["pair_counts"][:-1]])
    scores = relation_scores(logits, config)
    if config.type_constraints:
        allowed = allowed_relations(config.type_constraints, config.label2id, batch["entity_type"], batch["pairs"])
        scores = scores.masked_fill(~allowed.to(scores.device), -torch.inf)
    if config.task == "sentence":
        best = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, scores.argmax(dim=1, keepdim=True), True)
        scores = scores.masked_fill(~best, -torch.inf)
    least = torch.as_tensor(threshold, dtype=scores.dtype, device=scores.device)
    first_entity = np.cumsum([0, *batch["entity_counts"][:-1]])
    result = []
    for part, pairs, first, first_of_document in zip(
        scores.split(batch["pair_counts"]),
        batch["pairs"].cpu().split(batch["pair_counts"]),
        first_entity,
        first_pair,
        strict=True,
    ):
        possible = (part > least).flatten().nonzero().squeeze(1)  # what types forbid is no candidate
        best, order = part.flatten()[possible].topk(min(len(possible), max(2 * len(part), 64)))
        place = possible[order]
        pair, relation = np.divmod(place.cpu().numpy(), logits.shape[1])
        head, tail = pairs.numpy()[pair].T - first
        told = sentences[first_of_document + pair] if sentences is not None else None
        result.append(Candidates(head, tail, relation, best.cpu().numpy(), told))
    return result


def evidence_of_pairs(evidence: torch.Tensor) -> np.ndarray:
    """(P, 4) sentences of which each has more than `EVIDENCE_SHARE`, most likely ones first, filled up with -1.

    Args:
        evidence: (P, S) share of each sentence.
    """
    share, sentence = evidence.topk(min(MOST_EVIDENCE, evidence.shape[1]), dim=1)
    chosen = torch.where(share > EVIDENCE_SHARE, sentence, -1)
    return torch.nn.functional.pad(chosen, (0, MOST_EVIDENCE - chosen.shape[1]), value=-1).cpu().numpy()


def sentence_rows(logits: torch.Tensor, batch: dict[str, Any], config: FineCLConfig) -> torch.Tensor:
    """(B, 2) float32 the most likely relation of each single-pair document, and its score; `PADDING` where truncation
    took an argument out of reach."""
    rows = logits.new_full((len(batch["pair_counts"]), 2), PADDING, dtype=torch.float32)
    score, relation = relation_scores(logits, config).max(dim=1)
    within_reach = torch.tensor(batch["pair_counts"], dtype=torch.bool, device=logits.device)
    rows[within_reach] = torch.stack([relation.float(), score], dim=1)
    return rows


def candidate_rows(
    logits: torch.Tensor, batch: dict[str, Any], config: FineCLConfig, evidence: torch.Tensor | None = None
) -> torch.Tensor:
    """What is predicted for each of B documents as tensors that processes can gather.

    Returns:
        (B, K, 4) float32 head, tail, relation and score of candidates, best first, padded with `PADDING`; (B, K, 8)
        with their evidence; for sentences see [`sentence_rows`].
    """
    if config.task == "sentence":
        return sentence_rows(logits, batch, config)
    rows = []
    for part in document_candidates(logits, batch, config, evidence):
        columns = [part.head, part.tail, part.relation, part.score]
        columns += [*part.evidence.T] if part.evidence is not None else []
        rows.append(torch.from_numpy(np.stack(columns, axis=1).astype(np.float32)))
    width = 4 if evidence is None else 4 + MOST_EVIDENCE
    rows.append(torch.full((1, width), PADDING))  # a row at least, where no document has a pair
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PADDING)
    return padded[:-1].to(logits.device)


def decode_rows(rows: list[np.ndarray], config: FineCLConfig) -> list[Candidates] | list[str]:
    """Inverse of [`candidate_rows`]: the candidates, or for sentences the label, of each document."""
    if config.task == "sentence":
        return [config.id2label[int(relation)] if score > 0 else NA for relation, score in rows]  # NA scores 0
    decoded = []
    for row in rows:
        head, tail, relation, score, *evidence = row[row[:, 0] != PADDING].T
        told = np.stack(evidence, axis=1).astype(int) if evidence else None
        decoded.append(Candidates(head.astype(int), tail.astype(int), relation.astype(int), score, told))
    return decoded


def official_predictions(
    documents: Iterable[Document], candidates: Iterable[Candidates], config: FineCLConfig
) -> list[dict[str, Any]]:
    """DocRED's submission format: what lies above the model's threshold, one row a fact."""
    rows = []
    for document, all_of_document in zip(documents, candidates, strict=True):
        chosen = all_of_document.above(decision_threshold(config))
        evidence = chosen.evidence_sentences()
        for head, tail, relation, shown in zip(chosen.head, chosen.tail, chosen.relation, evidence, strict=True):
            fact = {"h_idx": int(head), "t_idx": int(tail), "r": config.id2label[int(relation)], "evidence": shown}
            rows.append({"title": document.title, **fact})
    return rows


@dataclass
class JudgedCandidates:
    """The candidate facts of all documents: relation ids, scores and whether they are gold, (N,) each.

    Attributes:
        num_gold: gold facts by relation id, those that are no candidate included; (R + 1,), the last entry those of
            relations that the model does not know.
    """

    relation: np.ndarray
    score: np.ndarray
    correct: np.ndarray
    num_gold: np.ndarray

    @classmethod
    def of(
        cls, documents: Sequence[Document], candidates: Sequence[Candidates], config: FineCLConfig
    ) -> JudgedCandidates:
        unknown = config.num_labels
        gold = [
            (place, fact.head, fact.tail, config.label2id.get(fact.relation, unknown))
            for place, document in enumerate(documents)
            for fact in document.relations
        ]
        gold = np.unique(np.array(gold, dtype=np.int64).reshape(-1, 4), axis=0)
        place = np.repeat(np.arange(len(candidates)), [len(part.score) for part in candidates])
        columns = [np.concatenate([getattr(part, name) for part in candidates] or [np.zeros(0, np.int64)])
                   for name in ("head", "tail", "relation")]  # fmt: skip
        found = np.stack([place, *columns], axis=1).astype(np.int64)
        rows, number = np.unique(np.concatenate([gold, found]), axis=0, return_inverse=True)
        is_gold = np.zeros(len(rows), bool)
        is_gold[number[: len(gold)]] = True
        score = np.concatenate([part.score for part in candidates] or [np.zeros(0, np.float32)])
        num_gold = np.bincount(gold[:, 3], minlength=config.num_labels + 1)
        return cls(found[:, 3], score, is_gold[number[len(gold) :]], num_gold)


def best_threshold(judged: JudgedCandidates) -> float:
    """The threshold with the best F1."""
    from finecl_hf.metrics import fit_threshold  # here and below: the pipeline needs none of it

    return fit_threshold(judged.score, judged.correct, int(judged.num_gold.sum()))[0]


def fit_decision(
    documents: list[Document], candidates: list[Candidates], config: FineCLConfig, per_relation: bool = False
) -> None:
    """Fits what the config says of decisions on labelled documents: thresholds, temperature and bias of scores.

    Args:
        per_relation: whether relations with enough facts get thresholds of their own.
    """
    judged = JudgedCandidates.of(documents, candidates, config)
    config.threshold = float(best_threshold(judged))
    config.temperature, config.score_bias = fit_calibration(judged.score, judged.correct)
    config.relation_thresholds = None
    if per_relation:
        from finecl_hf.extraction.relation_thresholds import fit_relation_thresholds

        found = fit_relation_thresholds(
            judged.score, judged.relation, judged.correct, judged.num_gold, config.threshold
        )
        config.relation_thresholds = {config.id2label[number]: value for number, value in found.items()}


def decision_threshold(config: FineCLConfig) -> float | np.ndarray:
    """What a relation's score has to exceed: one number, or one for each relation, (R,)."""
    if not config.relation_thresholds:
        return config.threshold
    thresholds = np.full(config.num_labels, config.threshold)
    for relation, threshold in config.relation_thresholds.items():
        thresholds[config.label2id[relation]] = threshold
    return thresholds


def probabilities(scores: np.ndarray, config: FineCLConfig) -> np.ndarray:
    """That a triple of such a score is right, as the model was calibrated."""
    return probability(scores, config.temperature, config.score_bias)


def score_documents(
    documents: list[Document],
    candidates: list[Candidates],
    config: FineCLConfig,
    train_documents: list[Document] | None = None,
) -> dict[str, float]:
    """DocRED's figures at the model's threshold, that of evidence only where the model tells evidence; the rate of
    false positives among pairs that merely stand together; and `ece`, the calibration error of its probabilities."""
    from finecl_hf.metrics import co_occurrence_fpr, docred_scores

    predictions = official_predictions(documents, candidates, config)
    scores = docred_scores(predictions, documents, train_documents)
    if all(part.evidence is None for part in candidates):
        del scores["evidence_f1"]
    scores["co_occurrence_fpr"] = co_occurrence_fpr(predictions, documents, train_documents or None)
    judged = JudgedCandidates.of(documents, candidates, config)
    return {**scores, "ece": expected_calibration_error(probabilities(judged.score, config), judged.correct)}


def judged_sentences(
    documents: Sequence[Document], rows: Sequence[np.ndarray], config: FineCLConfig
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) scores of the most likely relations of the sentences within reach, and whether they are gold.

    Args:
        rows: those of [`sentence_rows`].
    """
    relation, score = np.asarray(rows, dtype=np.float32).reshape(-1, 2).T
    correct = [document.label == config.id2label[max(int(number), 0)]
               for document, number in zip(documents, relation, strict=True)]  # fmt: skip
    reached = score > PADDING
    return score[reached], np.array(correct, dtype=bool)[reached]


def score_sentences(documents: list[Document], labels: list[str]) -> dict[str, float]:
    """Figures of single-label classification, and the share of NA sentences for which a relation is predicted; for
    directed labels (SemEval, KBP37) also the official macro F1, for TACRED's its official micro F1."""
    from finecl_hf.metrics import false_positive_rate, semeval_scores, sentence_scores, tacred_scores

    gold = [document.label for document in documents]
    scores = {**sentence_scores(labels, gold), "co_occurrence_fpr": false_positive_rate(labels, gold)}
    relations = [label for label in gold if label != NA]
    if all(label.endswith(("(e1,e2)", "(e2,e1)")) for label in relations):
        scores["semeval_macro_f1"] = semeval_scores(labels, gold, other=NA)["macro_f1"]
    elif all(label.startswith(("per:", "org:")) for label in relations):
        scores["tacred_f1"] = tacred_scores(labels, gold, no_relation=NA)["f1"]
    return scores
