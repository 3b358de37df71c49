"""A relation extractor from a handful of examples, without training."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from finecl_hf.data.documents import NA, Document
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.base_encoder import describe_base
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.embedder import PairEmbeddings, RelationEmbedder, listed_documents
from finecl_hf.extraction.heads.prototypes import PrototypesHead, center_entities
from finecl_hf.extraction.modeling import FineCLForRelationExtraction
from finecl_hf.extraction.pipeline import RelationExtractionPipeline
from finecl_hf.extraction.predictions import relation_scores, score_sentences
from finecl_hf.hashing import mix
from finecl_hf.metrics import docred_scores, fit_threshold


logger = logging.getLogger(__name__)

METHODS = ("mean", "neighbours")
FOLDS = 10
MOST_PAIRS = 50_000  # that a threshold is fitted on, of the examples' own documents
_NA_EXAMPLES, _FOLD = 11, 12  # keep these draws apart from others made of the same keys


@dataclass
class Examples:
    """Pairs and their relations, to make prototypes of.

    Attributes:
        entities: (E, D); pairs: (N, 2) rows of head and tail, a pair once for each of its relations.
        relation: (N,) ids, 0 for NA; document: (N,) number of each one's document.
    """

    entities: torch.Tensor
    pairs: torch.Tensor
    relation: torch.Tensor
    document: np.ndarray

    def outside(self, documents: np.ndarray) -> Examples:
        """Without those of the documents with these numbers."""
        kept = torch.from_numpy(~np.isin(self.document, documents))
        return Examples(self.entities, self.pairs[kept], self.relation[kept], self.document[kept.numpy()])


class RelationPrototypes:
    """Extracts the relations that a few labelled documents show, by likeness alone: nothing is trained.

    Example:
        >>> prototypes = RelationPrototypes.fit(read_documents("examples.json"), "all-MiniLM-L6-v2")
        >>> prototypes(read_documents("documents.json"))  # triples, as RelationExtractionPipeline gives them
        >>> prototypes.save_pretrained("outputs/prototypes")

    What is saved is a relation model with `--head prototypes`: `load_relation_model`, the pipeline and
    `run_finetune.py --do_eval` or `--do_predict` take it as any other, and a training goes on from it.
    """

    def __init__(self, model: FineCLForRelationExtraction, tokenizer: PreTrainedTokenizerBase):
        self.model, self.tokenizer = model.eval(), tokenizer

    @classmethod
    def fit(
        cls,
        documents: Iterable[Document],
        encoder: str | tuple[PreTrainedModel, PreTrainedTokenizerBase] | RelationEmbedder,
        method: str | None = None,
        k: int = 100,
        *,
        task: str | None = None,
        relation_names: dict[str, str] | None = None,
        validation: Iterable[Document] | None = None,
        na_ratio: float = 3.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> RelationPrototypes:
        """Makes prototypes of the labelled pairs of documents, see [`PrototypesHead`].

        Sentences (one label a pair) get the most likely label; pairs without a relation are examples of NA like of any
        other, and where there are none, NA is never predicted. Documents need a threshold, from which on a relation is
        predicted:

        - the one with the best F1 on `validation`, where given;
        - else the documents themselves are judged, a tenth of them at a time by prototypes of the others, all pairs
          without a label (NA) too, 50,000 pairs at most; as many facts are to be predicted as there are labels;
        - where no relation occurs in two documents, as many wrong facts lie above it as there are labels: of NA
          pairs, or where there is none, relations that labelled pairs do not have;
        - where nothing is wrong (one relation, and no other pair), a pair has to be more like the examples than one
          that has nothing in common with it.

        Args:
            documents: examples, with labels; unlabelled documents add pairs that count as NA.
            encoder: see [`RelationEmbedder`].
            method: `mean`, one prototype for each relation, the default for sentences; or `neighbours`, that for
                documents: the k examples most like a pair vote, NA pairs among them.
            task: `sentence` where each document has exactly one judged pair, else `document`.
            relation_names: readable names, of more relations than have examples perhaps: all are in the label set.
            validation: labelled documents to fit the threshold on.
            na_ratio: (`neighbours`, documents) NA pairs for each label, drawn by hashes of their names.
            seed: of these draws.
            kwargs: see [`RelationEmbedder`], such as `num_layers`, `entity_markers`, `device`.

        Raises:
            FineCLError: no pair is labelled, or the method does not exist.
        """
        documents = listed_documents(documents)
        if method not in (None, *METHODS):
            raise FineCLError(f'there is no method "{method}"; methods: {", ".join(METHODS)}.')
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise FineCLError(f"k {k} is out of range; give the number of neighbours that vote, at least 1.")
        embedder = encoder if isinstance(encoder, RelationEmbedder) else RelationEmbedder(encoder, **kwargs)
        found = embedder.encode(documents)
        if not len(found.label_pair):
            raise FineCLError(
                f"none of the {len(documents):,} documents has a labelled pair within the encoder's reach; prototypes "
                "are made of labels, one for each relation at least."
            )
        task = task or ("sentence" if all(document.is_sentence for document in documents) else "document")
        method = method or ("mean" if task == "sentence" else "neighbours")
        config = make_config(found, embedder, task, relation_names)
        config.num_neighbours = k if method == "neighbours" else 0
        keys = np.array([document.key for document in documents], dtype=np.int64)
        examples = choose_examples(found, config, keys, na_ratio, seed)
        center = mean_pair(found)
        head = make_head(examples, center, config)
        if task == "document":
            threshold = threshold_on(embedder.encode(validation), head, config) if validation is not None else None
            if threshold is None:
                threshold = threshold_by_folds(found, examples, center, config, keys)
            if threshold is None:
                threshold = threshold_by_share(found, head, config)
            head.weight.data[head.relation > 0] -= threshold  # so that 0 is where it lies, and 0.5 as a probability
        config.num_prototypes = len(head.relation)
        if isinstance(encoder, (str, os.PathLike)) and kwargs.get("num_layers") is None:
            config.base_encoder = describe_base(os.fspath(encoder), kwargs.get("revision"), embedder.model)
        model = FineCLForRelationExtraction(config, encoder=embedder.model)
        model.relation_head.load_state_dict(head.state_dict())
        return cls(model.to(embedder.model.device), embedder.tokenizer)

    def __call__(self, documents: Document | dict | Iterable[Document | dict], **kwargs: Any) -> list:
        """Triples of one document or several, see [`RelationExtractionPipeline`]."""
        return self.pipeline(documents, **kwargs)

    @cached_property
    def pipeline(self) -> RelationExtractionPipeline:
        return RelationExtractionPipeline(self.model, self.tokenizer, device=self.model.device)

    def evaluate(
        self, documents: Iterable[Document], train_documents: Iterable[Document] | None = None
    ) -> dict[str, float]:
        """Figures on labelled documents or sentences: those of [`~finecl_hf.metrics.docred_scores`], or of
        [`~finecl_hf.extraction.predictions.score_sentences`].

        Raises:
            FineCLError: there are no documents, or some of them have no labels.
        """
        documents = listed_documents(documents)
        unlabelled = sum(not document.labelled for document in documents)
        if unlabelled or not documents:
            raise FineCLError(
                f"{unlabelled:,} of {len(documents):,} documents to evaluate on have no `labels`; give documents that "
                "have them (an empty list where there is no fact)."
            )
        found = self(documents)
        if self.model.config.task == "sentence":
            return score_sentences(documents, [triples[0]["relation"] if triples else NA for triples in found])
        rows = [
            {"title": document.title, "h_idx": triple["h_idx"], "t_idx": triple["t_idx"], "r": triple["relation"]}
            for document, triples in zip(documents, found, strict=True)
            for triple in triples
        ]
        scores = docred_scores(rows, documents, train_documents)
        return {name: score for name, score in scores.items() if name != "evidence_f1"}

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Writes the relation model and its tokenizer.

        Raises:
            FineCLError: the folder is a file.
        """
        if os.path.isfile(folder):  # transformers would only say so, and go on
            raise FineCLError(f"{os.fspath(folder)}: is a file, where a folder is written; name another one.")
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    @classmethod
    def from_pretrained(cls, name_or_path: str, **kwargs: Any) -> RelationPrototypes:
        """Loads what [`save_pretrained`] wrote.

        Args:
            kwargs: see [`RelationExtractionPipeline.from_pretrained`].

        Raises:
            FineCLError: no relation model lies there, or one with another head.
        """
        pipeline = RelationExtractionPipeline.from_pretrained(name_or_path, **kwargs)
        if pipeline.model.config.head != "prototypes":
            raise FineCLError(
                f"{name_or_path}: a relation model with the head {pipeline.model.config.head}, not with prototypes; "
                "load it with RelationExtractionPipeline."
            )
        return cls(pipeline.model, pipeline.tokenizer)


def make_config(
    found: PairEmbeddings, embedder: RelationEmbedder, task: str, relation_names: dict[str, str] | None
) -> FineCLConfig:
    """Label set and settings of a relation model that reads documents as the embedder does."""
    relations = sorted({*found.label_relation, *(relation_names or ())} - {NA})
    config = FineCLConfig.for_labels(
        {relation: i for i, relation in enumerate([NA, *relations])},
        relation_names=relation_names,
        task=task,
        head="prototypes",
        loss="softmax" if task == "sentence" else "adaptive_threshold",
        max_seq_length=embedder.max_seq_length,
        long_documents=embedder.long_documents,
        entity_markers=embedder.entity_markers,
        hide_names=embedder.hide_names,
    )
    config.text_config = embedder.model.config  # now: a configuration that is made of it takes its attention away
    return config


def choose_examples(
    found: PairEmbeddings, config: FineCLConfig, keys: np.ndarray, na_ratio: float, seed: int
) -> Examples:
    """All labelled pairs, and NA pairs where they have a vote.

    Args:
        keys: of the documents; draws are made of them, and so the same in any order.
    """
    labels = np.array([config.label2id[relation] for relation in found.label_relation], dtype=np.int64)
    na = np.setdiff1d(np.arange(len(found)), found.label_pair)
    if config.task == "document":
        wanted = round(na_ratio * len(labels)) if config.num_neighbours else 0
        draws = mix(_NA_EXAMPLES, seed, keys[found.document[na]], found.head[na], found.tail[na])
        na = np.sort(na[np.argsort(draws, kind="stable")[:wanted]])
    pair = np.concatenate([found.label_pair, na])
    relation = np.concatenate([labels, np.zeros(len(na), np.int64)])
    return Examples(found.entities, found.pairs[pair], torch.from_numpy(relation), found.document[pair])


def mean_pair(found: PairEmbeddings) -> torch.Tensor:
    """(2, D) float32 mean head and mean tail over all pairs, labelled or not."""
    size = len(found.entities)
    counts = torch.stack([column.bincount(minlength=size) for column in found.pairs.unbind(dim=1)])  # (2, E)
    return counts.float() @ found.entities / len(found)


def make_head(examples: Examples, center: torch.Tensor, config: FineCLConfig) -> PrototypesHead:
    """A head whose prototypes are the examples themselves, or with all of them voting (`mean`) their means.

    The weight of a mean is the logarithm of the number of its examples, which is what they would weigh alone.
    """
    halves = center_entities(examples.entities, center)  # (2, E, D)
    head, tail = examples.pairs.unbind(dim=1)
    prototypes, relation = torch.stack([halves[0, head], halves[1, tail]], dim=1), examples.relation  # (N, 2, D)
    weight = torch.zeros(len(relation))
    if not config.num_neighbours:
        relation, row, counts = examples.relation.unique(return_inverse=True, return_counts=True)
        prototypes = prototypes.new_zeros(len(relation), *prototypes.shape[1:]).index_add(0, row, prototypes)
        weight = counts.float().log()
    config.num_prototypes = len(relation)
    made = PrototypesHead(config)
    made.load_state_dict(
        {
            "prototypes": F.normalize(prototypes.flatten(1), dim=1).view_as(prototypes),
            "weight": weight,
            "center": center,
            "relation": relation,
        }
    )
    return made


def gold_of(found: PairEmbeddings, config: FineCLConfig, pairs: np.ndarray) -> torch.Tensor:
    """(P, R) bool: which relations in the label set these pairs have. `pairs` (P,) are in ascending order."""
    gold = torch.zeros(len(pairs), config.num_labels, dtype=torch.bool)
    place = np.full(len(found), -1)
    place[pairs] = np.arange(len(pairs))
    relation = np.array([config.label2id.get(name, 0) for name in found.label_relation], dtype=np.int64)
    kept = (place[found.label_pair] >= 0) & (relation > 0)
    gold[place[found.label_pair[kept]], relation[kept]] = True
    return gold


@torch.no_grad()
def best_candidates(
    found: PairEmbeddings, pairs: np.ndarray, gold: torch.Tensor, head: PrototypesHead, config: FineCLConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the most likely relations of pairs, two a pair on average, and whether they are right: (N,), (N,)."""
    scores = relation_scores(head.score(found.entities, found.pairs[pairs]), config)[:, 1:].flatten()
    scores, place = scores.topk(min(len(scores), max(2 * len(pairs), 64)))
    return scores.numpy(), gold[:, 1:].flatten()[place].numpy()


def threshold_on(found: PairEmbeddings, head: PrototypesHead, config: FineCLConfig) -> float:
    """The threshold with the best F1 on documents that gave no examples."""
    everything = np.arange(len(found))
    candidates = best_candidates(found, everything, gold_of(found, config, everything), head, config)
    return fit_threshold(*candidates, len(found.label_pair))[0]


def threshold_by_folds(
    found: PairEmbeddings, examples: Examples, center: torch.Tensor, config: FineCLConfig, keys: np.ndarray
) -> float | None:
    """The threshold above which as many facts are predicted as there are, where documents are judged by the prototypes
    of others; None where no relation occurs in two. Facts of a relation that no other document has do not count.

    With few examples the number of facts says more than their best F1, which rests on the few that are found.
    """
    order = np.argsort(mix(_FOLD, keys), kind="stable")
    size = np.bincount(found.document, minlength=len(keys))[order]
    order = order[(np.cumsum(size) <= MOST_PAIRS) & (size > 0)]
    scores, num_facts = [], 0
    for fold in range(min(FOLDS, len(order))):
        judged = order[fold::FOLDS]
        others = examples.outside(judged)
        known = torch.bincount(others.relation, minlength=config.num_labels)[1:] > 0
        if not known.any():
            continue
        pairs = np.flatnonzero(np.isin(found.document, judged))
        gold = gold_of(found, config, pairs)
        num_facts += int(gold[:, 1:][:, known].sum())
        scores.append(best_candidates(found, pairs, gold, make_head(others, center, config), config)[0])
    if not num_facts:
        return None
    return below_highest(np.concatenate(scores), num_facts)


def threshold_by_share(found: PairEmbeddings, head: PrototypesHead, config: FineCLConfig) -> float:
    """The threshold above which as many wrong facts lie as there are labels; 0 where nothing would be wrong."""
    everything = np.arange(len(found))
    scores, correct = best_candidates(found, everything, gold_of(found, config, everything), head, config)
    if correct.all():
        logger.warning("Every pair has the one relation there is: nothing shows from where on a pair is unlike it.")
        return 0.0
    return below_highest(scores[~correct], len(found.label_pair))


def below_highest(scores: np.ndarray, count: int) -> float:
    """A threshold that the `count` highest scores exceed, one at least: midway to the next, so that rounding in other
    batches moves none across it."""
    highest = np.sort(scores)[::-1]
    if count >= len(highest):
        return float(highest[-1]) - 1.0
    return float(highest[count - 1] + highest[count]) / 2
