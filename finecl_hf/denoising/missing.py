"""Which labels are missing: after training, one pass over all pairs without a label, of which the best are kept.

A knowledge base lacks most facts, so many pairs of NA are facts. A pair's score for a relation adds up three log-odds:

    logit of the relation - logit of NA  +  plausibility (types and distance)  +  support (labels of other pairs)

Memory grows with the facts that are kept and with the labels, not with the pairs, and the result is the same for any
number of processes and workers. Shapes: P pairs, R relations, of which the first is NA.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pyarrow.compute as pc
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch.utils.data import DataLoader

from finecl_hf.data.arrow import column_batches
from finecl_hf.data.corpus import fact_columns, iter_corpus
from finecl_hf.data.documents import Document, Fact
from finecl_hf.data.held_out import HeldOutPairs
from finecl_hf.denoising.trainer import DenoiseTrainer
from finecl_hf.encoding.batches import RelationCollator, to_device
from finecl_hf.extraction.predictions import relation_scores
from finecl_hf.hashing import mix
from finecl_hf.learning_order.facts import chunks_in, collect_facts
from finecl_hf.learning_order.missing_labels import MissingLabel
from finecl_hf.learning_order.plausibility import PlausibilityCounts, entity_distances
from finecl_hf.learning_order.support import support_counts
from finecl_hf.learning_order.verdicts import Verdicts
from finecl_hf.losses import PU_LOSSES
from finecl_hf.training.loading import SilverCorpus


logger = logging.getLogger(__name__)

SIGNS = ("probability", "margin", "plausibility", "support", "score")
FACT = ("key", "head", "tail", "relation")  # of a row: its document's key, entities, and the relation's number
ROW = np.dtype([("key", "i8"), *((name, "i4") for name in ("row", *FACT[1:])), *((name, "f4") for name in SIGNS)])


class BestFacts:
    """The best facts of all that were added; holds a few times as many at most.

    Args:
        count: how many.
    """

    def __init__(self, count: int):
        self.count, self._least = count, -np.inf
        self._parts: list[np.ndarray] = [np.zeros(0, ROW)]

    def worth_adding(self, scores: np.ndarray) -> np.ndarray:
        """Numbers of those of some scores that may be among the best."""
        least = np.partition(scores, -self.count)[-self.count] if len(scores) > self.count else -np.inf
        return np.flatnonzero((scores > -np.inf) & (scores >= max(least, self._least)))

    def add(self, rows: np.ndarray) -> None:
        """Takes up rows of dtype `ROW`."""
        self._parts.append(rows)
        if sum(map(len, self._parts)) > 4 * self.count:
            self._parts = [best := self.rows()]
            self._least = float(best["score"][-1]) if len(best) == self.count else -np.inf

    def rows(self) -> np.ndarray:
        """Best first; of equal scores in an order that is drawn by the fact. A fact that was added twice is one."""
        rows = np.concatenate(self._parts)
        tie = mix(*(rows[name] for name in FACT))
        rows = rows[np.lexsort((tie, -rows["score"]))]
        _, first = np.unique(rows[list(FACT)], return_index=True)
        return rows[np.sort(first)][: self.count]


def judge_pairs(logits: torch.Tensor, loss: str) -> tuple[torch.Tensor, torch.Tensor]:
    """What the model thinks of each relation of each pair.

    Args:
        logits: (P, R).
        loss: the loss of the model: `bce` gives each relation a probability of its own, others a softmax; with
            positive-unlabelled losses, NA alone competes.

    Returns:
        (P, R) probability; (P, R) margin of the logit over the best that competes.
    """
    if loss in PU_LOSSES:
        margin = logits - logits[:, :1]
        return margin.sigmoid(), margin
    first, second = logits.topk(2, dim=1).values.split(1, dim=1)
    probability = logits.sigmoid() if loss == "bce" else logits.softmax(dim=1)
    return probability, logits - torch.where(logits == first, second, first)


def batches_of(rows: int, size: int, process: int, processes: int) -> list[list[int]]:
    """The batches of a process. Each is whole, and the same as in a run of one process; all have equally many, for
    which some come twice."""
    batches = [list(range(start, min(start + size, rows))) for start in range(0, rows, size)]
    batches += batches[:1] * (-len(batches) % processes)
    return batches[process::processes]


def find_missing(
    trainer: DenoiseTrainer,
    silver: SilverCorpus,
    corpus: Dataset,
    count: int,
    verdicts: Verdicts | None = None,
    held_out: HeldOutPairs | None = None,
) -> list[MissingLabel] | None:
    """The `count` facts of a corpus that most seem to be missing, best first; None where none are asked for, or all
    documents are sentences with a label, which have no other pair.

    Every process calls it. Arguments: see [`MissingLabels`].
    """
    if not count or are_labelled_sentences(corpus):
        return None
    return MissingLabels(trainer, silver, corpus, count, verdicts, held_out).find()


def are_labelled_sentences(corpus: Dataset) -> bool:
    """Whether every document is a sentence with a label."""
    sentences = all(pc.all(batch).as_py() for batch in column_batches(corpus, "is_sentence"))
    return sentences and all(
        pc.min(pc.list_value_length(batch)).as_py() > 0 for batch in column_batches(corpus, "head")
    )


class MissingLabels:
    """The pass over a corpus.

    Args:
        trainer: of the trained model; silver: what it was trained on.
        corpus: the same documents, row by row, with their own labels alone: what was planted for the self-test (see
            `denoising.probe`) is neither counted nor a candidate.
        count: of facts to keep.
        verdicts: facts that people call wrong are none.
        held_out: pairs that a model must not see before it is tested are no candidates.
    """

    def __init__(
        self,
        trainer: DenoiseTrainer,
        silver: SilverCorpus,
        corpus: Dataset,
        count: int,
        verdicts: Verdicts | None = None,
        held_out: HeldOutPairs | None = None,
    ):
        self._held_out = held_out
        self.trainer, self.corpus, self.features = trainer, corpus, silver.features
        self.relations = list(silver.encoder.label2id)  # in the order of their numbers
        self.best = BestFacts(count)
        self._wrong: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for row in verdicts.rows if verdicts is not None else ():
            if row.sign < 0 and row.relation in silver.encoder.label2id:
                self._wrong[row.title].append((row.head, row.tail, silver.encoder.label2id[row.relation]))
        with trainer.args.main_process_first(desc="collecting facts"):
            facts = collect_facts(self.corpus)
        self._plausibility = PlausibilityCounts()
        for chunk in chunks_in(facts):
            self._plausibility.add_columns(chunk)
        self._support = support_counts(lambda: iter_corpus(self.corpus), self.relations)

    def find(self) -> list[MissingLabel]:
        """The facts that seem to be missing, best first; every process calls it, and has all of them."""
        config = self.trainer.relation_model.config
        plausibility, support = self._plausibility.pair_odds(self.relations), self._support.odds()
        for at, document, pairs, logits in self._judged():
            labels = self._support.read(document)
            is_open = ~labels.is_labelled(pairs)
            pairs, logits = pairs[is_open], logits[torch.from_numpy(is_open)]
            columns = fact_columns(document)
            places = self._plausibility.kinds_of(columns["entity_type"]), *entity_distances(columns)
            probability, margin = judge_pairs(logits, config.loss)
            signs = {
                "probability": probability.numpy(),
                "margin": margin.numpy(),
                "plausibility": plausibility(*(place[tuple(pairs.T)] for place in places)),
                "support": support(labels, pairs),
            }
            text = relation_scores(logits, config).numpy()  # -inf for NA
            signs["score"] = (text + signs["plausibility"] + signs["support"]).astype(np.float32)
            self._keep(at, document, pairs, signs)
        everywhere = BestFacts(self.best.count)
        for part in gather_object([self.best.rows()]):
            everywhere.add(part)
        return self._named(everywhere.rows())

    def _judged(self) -> Iterator[tuple[int, Document, np.ndarray, torch.Tensor]]:
        """Each document of this process: its row, itself, the pairs (P, 2) that were trained on as NA, and their
        logits (P, R), on the CPU and without dropout."""
        args, model = self.trainer.args, self.trainer.model_wrapped
        batches = batches_of(len(self.features), args.eval_batch_size, args.process_index, args.world_size)
        loader = DataLoader(
            self.features.with_format("numpy"),
            batch_sampler=batches,
            collate_fn=RelationCollator(self.trainer.processing_class.pad_token_id),
            num_workers=args.dataloader_num_workers,
        )
        was_training = model.training
        model.eval()
        for rows, batch in zip(batches, loader, strict=True):
            with torch.no_grad(), self.trainer.compute_loss_context_manager():
                logits = model(**to_device(batch, args.device)).logits.float().cpu()
            first_entity = np.cumsum([0, *batch["entity_counts"][:-1]])
            is_na = torch.ones(len(logits), dtype=torch.bool)
            is_na[batch["label_pair"]] = False
            parts = (values.split(batch["pair_counts"]) for values in (batch["pairs"], logits, is_na))
            for at, first, pairs, part, na in zip(rows, first_entity, *parts, strict=True):
                yield at, Document.from_json(self.corpus[at]["document"]), pairs[na].numpy() - first, part[na]
        model.train(was_training)

    def _keep(self, at: int, document: Document, pairs: np.ndarray, signs: dict[str, np.ndarray]) -> None:
        """Takes up the best facts of a document.

        Args:
            at: its row in the corpus.
            pairs: (P, 2); signs: (P, R) each of `SIGNS`.
        """
        for head, tail, relation in self._wrong.get(document.title, ()):
            signs["score"][(pairs == [head, tail]).all(axis=1), relation] = -np.inf
        for pair in self._held_out.pairs_of(document) if self._held_out is not None else ():
            signs["score"][(pairs == pair).all(axis=1)] = -np.inf
        pair, relation = np.divmod(self.best.worth_adding(signs["score"].ravel()), len(self.relations))
        rows = np.zeros(len(pair), ROW)
        rows["row"], rows["key"], rows["relation"] = at, document.key, relation
        rows["head"], rows["tail"] = pairs[pair].T
        for name in SIGNS:
            rows[name] = signs[name][pair, relation]
        self.best.add(rows)

    def _named(self, rows: np.ndarray) -> list[MissingLabel]:
        """The rows as facts that people can read."""
        documents = {at: Document.from_json(self.corpus[at]["document"]) for at in np.unique(rows["row"]).tolist()}
        found = []
        for row in rows:
            document, relation = documents[int(row["row"])], self.relations[row["relation"]]
            head, tail = int(row["head"]), int(row["tail"])
            names = document.longest_name(head), document.longest_name(tail)
            signs = {name: float(row[name]) for name in SIGNS}
            name = document.instance_id(Fact(head, tail, relation))
            found.append(MissingLabel(name, document.title, head, tail, relation, *names, **signs))
        return found
