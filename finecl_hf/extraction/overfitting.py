"""Can the relation model learn a few documents by heart? What cannot be overfitted cannot be learned either."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import one_hot

from finecl_hf.data.documents import Document
from finecl_hf.encoding.batches import RelationCollator, to_device
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads import HeadInputs
from finecl_hf.extraction.modeling import FineCLForRelationExtraction
from finecl_hf.losses import relation_loss, relation_targets


BATCH = 5  # documents a step
HEAD_RATE, CALM_RATE, ENCODER_RATE = 2e-3, 5e-4, 3e-5  # the head's alone, and beside an encoder that moves
WARM_UP = 10  # steps of either
WARM_HEAD, HEAD_PASSES = 0.97, 80  # F1 that the head is brought to alone, and passes that it may take for it
LEARNED = 0.995  # F1 from which on nothing is left to learn
PATIENCE, PROGRESS = 12, 0.01  # passes without so much better an F1 after which the model is stuck


@dataclass
class Overfitting:
    """How well a few documents were learned by heart.

    Attributes:
        documents, facts: what was to be learned; lost_facts: facts past the encoder's length.
        head_f1: micro F1 of the head alone, on the encoder as it is; f1: of the whole model, in its best pass.
        passes: of the whole model over the documents; seconds: that everything took.
        ended: `learned`, `stuck` (no progress any more), `time` (it was over before either), or `diverged`.
    """

    documents: int
    facts: int
    lost_facts: int = 0
    head_f1: float = 0.0
    f1: float = 0.0
    passes: int = 0
    seconds: float = 0.0
    ended: str = "time"


@dataclass
class FactCounts:
    """Facts of one pass: predicted, right among them, and gold."""

    predicted: int = 0
    right: int = 0
    gold: int = 0

    def add(self, logits: torch.Tensor, targets: torch.Tensor, task: str) -> None:
        """Counts the predictions of a batch: the best relation of a sentence, all above NA of a document's pair.

        Args:
            logits: (P, R); targets: (P, R) bool, column 0 is NA.
        """
        best = one_hot(logits.argmax(dim=1), logits.shape[1]).bool()
        predicted = (best if task == "sentence" else logits > logits[:, :1])[:, 1:]
        self.predicted += int(predicted.sum())
        self.right += int((predicted & targets[:, 1:]).sum())
        self.gold += int(targets[:, 1:].sum())

    @property
    def f1(self) -> float:
        return 2 * self.right / max(self.predicted + self.gold, 1)


def overfit(
    model: FineCLForRelationExtraction,
    documents: list[Document],
    encoder: DocumentEncoder,
    seconds: float,
    seed: int = 0,
) -> Overfitting:
    """Trains a relation model on a few documents until it knows them, makes no progress, or the time is over.

    The head first, on what the encoder makes of the documents as it is, which is quick; then all of the model. All
    pairs are judged, and there is no dropout. Nothing is written, and the caller's random state stays as it was.

    Args:
        model: with a new head; it is trained in place.
        documents: those to learn, with facts.
        encoder: tokenises documents for it.
        seconds: most seconds of training.
        seed: of the order of documents.
    """
    rows = encoder.rows(documents)
    facts = sum(len(document.relations) for document in documents)
    result = Overfitting(len(documents), facts, sum(row["lost_facts"] for row in rows))
    collator = RelationCollator(encoder.tokenizer.pad_token_id)
    generator = torch.Generator().manual_seed(seed)
    batches = [to_device(collator(rows[i : i + BATCH]), model.device) for i in range(0, len(rows), BATCH)]
    model.eval()  # no dropout
    start = time.monotonic()
    run = _Run(batches, model.config, result, generator, _Step())
    run.deadline = start + seconds / 2
    run.train_head(model)
    run.deadline = start + seconds
    run.train_all(model)
    result.seconds = time.monotonic() - start
    return result


@dataclass
class _Run:
    """Both trainings of [`overfit`], over the same batches."""

    batches: list[dict[str, Any]]
    config: FineCLConfig
    result: Overfitting
    generator: torch.Generator
    step: _Step
    deadline: float = 0.0

    def train_head(self, model: FineCLForRelationExtraction) -> None:
        self.step.add(model.relation_head.parameters(), HEAD_RATE)
        inputs = _head_inputs(model, self.batches, self.deadline)
        if len(inputs) < len(self.batches):
            return
        for _ in range(HEAD_PASSES):
            f1 = self._pass(lambda number: model.relation_head(inputs[number]))
            if f1 is None:
                return
            self.result.head_f1 = max(self.result.head_f1, f1)
            if f1 >= WARM_HEAD:
                return

    def train_all(self, model: FineCLForRelationExtraction) -> None:
        self.step.optimizer.param_groups[0]["peak"] = CALM_RATE
        self.step.add((weight for weight in model.encoder.parameters() if weight.requires_grad), ENCODER_RATE)
        last_progress = -1
        while self.result.ended == "time":
            f1 = self._pass(lambda number: model(**self.batches[number]).logits)
            if f1 is None:
                return
            if f1 >= self.result.f1 + PROGRESS:
                last_progress = self.result.passes
            self.result.f1 = max(self.result.f1, f1)
            if f1 >= LEARNED:
                self.result.ended = "learned"
            elif self.result.passes - last_progress >= PATIENCE:
                self.result.ended = "stuck"
            self.result.passes += 1

    def _pass(self, logits_of: Callable[[int], torch.Tensor]) -> float | None:
        """F1 of one pass over the batches, learned from as it goes; None where it was not finished."""
        counts = FactCounts(gold=self.result.lost_facts)
        for number in torch.randperm(len(self.batches), generator=self.generator).tolist():
            if time.monotonic() >= self.deadline:
                return None
            logits, batch = logits_of(number), self.batches[number]
            targets = relation_targets(batch["label_pair"], batch["label_relation"], *logits.shape)
            counts.add(logits.detach(), targets, self.config.task)
            loss = relation_loss(self.config.loss, logits, targets, self.config.shares)
            if not math.isfinite(loss.item()):
                self.result.ended = "diverged"
                return None
            self.step.take(loss)
        return counts.f1


class _Step:
    """One step of AdamW on the weights that were added so far, with clipped gradients; rates grow from zero."""

    def __init__(self):
        self.optimizer: torch.optim.Optimizer | None = None

    def add(self, weights: Iterable[torch.Tensor], rate: float) -> None:
        group = {"params": list(weights), "lr": rate, "peak": rate, "steps": 0}
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW([group], weight_decay=0.0)
        else:
            self.optimizer.add_param_group(group)

    def take(self, loss: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        for group in self.optimizer.param_groups:
            group["steps"] += 1
            group["lr"] = group["peak"] * min(1.0, group["steps"] / WARM_UP)
            torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
        self.optimizer.step()


@torch.no_grad()
def _head_inputs(
    model: FineCLForRelationExtraction, batches: list[dict[str, Any]], deadline: float
) -> list[HeadInputs]:
    """What the head is given by the encoder as it is, for each batch that there is time for."""
    caught: list[HeadInputs] = []
    hook = model.relation_head.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    try:
        for batch in batches:
            if time.monotonic() < deadline:
                model(**batch)
    finally:
        hook.remove()
    return caught
