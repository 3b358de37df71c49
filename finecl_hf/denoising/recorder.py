"""The record of stage 1: when each label is first predicted correctly (FineCL, section 3.1)."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from accelerate.data_loader import prepare_data_loader
from accelerate.utils import gather_object
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.hooks import RemovableHandle
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from finecl_hf.data.files import remove_unfinished
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.files import TABLE
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.losses import PU_LOSSES


logger = logging.getLogger(__name__)

RUNNING_EPOCH = "learning_order_epoch.npz"  # beside the table in a checkpoint: what the unfinished epoch has seen
HARDLY_LEARNED = 0.1


class LearningOrderCallback(TrainerCallback):
    """Logs when each label is first predicted correctly (FineCL, section 3.1) and how sure the model is of it.

    Works in any `Trainer` of a [`FineCLForRelationExtraction`] whose batches are a [`RelationCollator`]'s: a forward
    hook judges the labels, and the keys of their facts travel in the batch. At the end of an epoch the observations of
    all processes are merged into the table, which is written to `output_dir/learning_order.parquet`. Checkpoints carry
    the table and the observations of the running epoch, so that a resumed run neither loses nor repeats any.

    Args:
        order: table of the corpus, without epochs.
        mode: `batch` (the paper's default) judges labels in the training forward pass, before that step's update;
            `epoch` judges them all in one pass without dropout after each epoch.
    """

    def __init__(self, order: LearningOrder, mode: str = "batch"):
        self.order, self.mode = order, mode
        self._written: str | None = None  # where the table lies with every closed epoch
        self._pending: list[tuple[torch.Tensor, torch.Tensor]] = []  # on the device: no synchronisation in a step
        self._is_judging = False  # in the pass of mode "epoch"
        self._hook: RemovableHandle | None = None
        self._folder: Path | None = None  # the checkpoint that was loaded or written last

    def observe(self, keys: torch.Tensor, loss: torch.Tensor, margin: torch.Tensor) -> None:
        """Notes the judgement of n labels. If one is judged again in the same epoch, the first judgement counts.

        Args:
            keys: (n,) of the facts; those that the table does not know are passed over.
            loss, margin: (n,) see [`judge_labels`].
        """
        self._pending.append((keys, torch.stack([loss.detach().float(), margin.detach().float()])))

    @torch.compiler.disable
    def after_forward(self, model: nn.Module, args: tuple, inputs: dict[str, Any], outputs: Any) -> None:
        """The forward hook."""
        if self._is_judging or (self.mode == "batch" and model.training):
            label_pair, label_relation = inputs["label_pair"], inputs["label_relation"]
            judgement = judge_labels(outputs.logits, label_pair, label_relation, model.config.loss)
            self.observe(inputs["fact_key"], *judgement)

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        if state.is_world_process_zero:
            remove_unfinished(Path(args.output_dir) / TABLE)
        if not state.global_step and self.order.num_epochs:  # another training with the same trainer
            self.order, self._written = self.order.without_epochs(), None
            self._pending.clear()
        if state.global_step and self._folder is None:
            self.load(Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}")
        self._hook = model.register_forward_hook(self.after_forward, with_kwargs=True)

    def on_epoch_begin(self, args, state, control, **kwargs):
        if self.order.num_epochs < int(state.epoch or 0):  # resumed between the last step of an epoch and its end
            self._close_epoch(args, state, **kwargs)

    def on_epoch_end(self, args, state, control, **kwargs):
        if self.order.num_epochs < int(state.epoch or 0):  # else stopped on the way: a resumed run may complete it
            self._close_epoch(args, state, **kwargs)

    def on_save(self, args, state, control, **kwargs):
        folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        if folder != self._folder:  # in a plain Trainer; a DenoiseTrainer has saved it by now
            self.save(folder, write=args.should_save)

    def on_train_end(self, args, state, control, **kwargs):
        if self.order.num_epochs < math.ceil(state.epoch or 0):
            self._close_epoch(args, state, **kwargs)
        if self._hook is not None:
            self._hook.remove()
        self._folder = None
        if state.is_world_process_zero and self._written is None:  # resumed behind the last epoch: perhaps elsewhere
            self.order.write(os.path.join(args.output_dir, TABLE))
        judged = self.order.judged
        learned = (self.order.first_epoch[judged] >= 0).mean() if judged.any() else 0.0
        if state.is_world_process_zero and learned < HARDLY_LEARNED:
            logger.warning(
                "Only %.1f%% of the %s judged labels were ever predicted, so this order says little about them. Train "
                "longer (--num_train_epochs, now %g), raise --learning_rate (now %g), or lower --na_ratio.",
                100 * learned, f"{judged.sum():,}", args.num_train_epochs, args.learning_rate,
            )  # fmt: skip

    def _close_epoch(self, args, state, model=None, train_dataloader=None, **kwargs) -> None:
        """Adds the epoch to the table and writes it."""
        if self.mode == "epoch":
            self._judge_corpus(args, model, train_dataloader)
        rows, (loss, margin) = self._merged()
        self._pending.clear()
        columns = np.zeros((2, len(self.order)), np.float32)
        columns[:, rows] = loss, margin
        observed = np.zeros(len(self.order), bool)
        observed[rows] = True
        loss, margin = columns
        self.order.record_epoch(np.exp(-loss), margin, margin > 0, observed, loss)
        if state.is_world_process_zero:
            self._written = os.path.join(args.output_dir, TABLE)
            self.order.write(self._written)
            learned = int((self.order.first_epoch >= 0).sum())
            now = int(self.order.correct[:, -1].sum())
            logger.info(
                "Epoch %d: %s of %s labels predicted, %s learned so far.",
                self.order.num_epochs - 1, f"{now:,}", f"{len(self.order):,}", f"{learned:,}",
            )  # fmt: skip

    def _judge_corpus(self, args, model: nn.Module, train_dataloader: DataLoader) -> None:
        """One pass over the training corpus, dropout off (the paper's epoch-based order)."""
        loader = prepare_data_loader(
            DataLoader(train_dataloader.dataset, args.eval_batch_size, collate_fn=train_dataloader.collate_fn),
            device=args.device,
            num_processes=args.world_size,
            process_index=args.process_index,
            put_on_device=True,
        )
        model.eval()
        self._is_judging = True
        with torch.random.fork_rng(devices=[]):  # a data loader draws a seed; judging must not change training
            for inputs in loader:
                with torch.no_grad():
                    model(**inputs)
        self._is_judging = False
        model.train()

    def save(self, folder: str | os.PathLike, write: bool = True) -> None:
        """Puts the table and the running epoch into a checkpoint; every process calls it, one has `write`."""
        keys, judgement = self._gathered()
        self._folder = Path(folder)
        if write:
            self._save_table(Path(folder) / TABLE)
            np.savez(Path(folder) / RUNNING_EPOCH, key=keys, judgement=judgement)

    def _save_table(self, path: Path) -> None:
        """The closed epochs, which lie on disk already: another name for the same file, where the disk allows."""
        try:
            if self._written is None:
                raise FileNotFoundError
            os.link(self._written, path)
        except OSError:
            self.order.write(path)

    def load(self, folder: str | os.PathLike) -> None:
        """Takes up where the checkpoint in `folder` was written.

        Raises:
            FineCLError: the checkpoint belongs to another corpus.
        """
        order = LearningOrder.read(Path(folder) / TABLE)
        if not np.array_equal(order.key, self.order.key):
            raise FineCLError(
                f"{folder} was written for another corpus ({len(order):,} labels, now {len(self.order):,}); "
                "resume with the same files and settings, or choose another --output_dir."
            )
        self.order, self._folder = order, Path(folder)
        try:
            with np.load(Path(folder) / RUNNING_EPOCH) as arrays:
                # Every process takes all of it: merging counts each label once.
                self._pending = [(torch.from_numpy(arrays["key"]), torch.from_numpy(arrays["judgement"]))]
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise FineCLError(
                f"{folder}: {RUNNING_EPOCH} is missing, damaged or of another version of finecl_hf ({error}); remove "
                "the folder, and the same command goes on from the checkpoint before it."
            ) from error

    def _merged(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels that the running epoch has judged, (n,) rows of the table, and their judgements (2, n)."""
        keys, judgement = self._gathered()
        rows = self.order.rows_of(keys)
        return rows[rows >= 0], judgement[:, rows >= 0]

    def _gathered(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) keys of the facts that all processes have judged, ascending, and the judgements (2, n)."""
        own = [(keys.cpu().numpy(), judgement.cpu().numpy()) for keys, judgement in self._pending]
        parts = gather_object(own) or [(np.zeros(0, np.int64), np.zeros((2, 0), np.float32))]
        keys, first = np.unique(np.concatenate([part for part, _ in parts]), return_index=True)
        return keys, np.concatenate([part for _, part in parts], axis=1)[:, first]


def judge_labels(
    logits: torch.Tensor, label_pair: torch.Tensor, label_relation: torch.Tensor, loss: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the model thinks of each label; a pair's other gold labels do not compete with it.

    Args:
        logits: (P, R).
        label_pair, label_relation: (n,).
        loss: the loss of the model: `bce` gives each relation a probability of its own, others a softmax; with
            positive-unlabelled losses, NA alone competes, since other relations may be true without a label.

    Returns:
        loss (n,): -log of the label's probability; margin (n,) of its logit over the best that competes. The label is
        predicted where the margin is above 0.
    """
    judged, row = label_pair.unique(return_inverse=True)  # most pairs are NA and have no label to judge
    logits = logits.detach()[judged].float()
    label = logits[row, label_relation]
    others = logits.index_put((row, label_relation), logits.new_tensor(-torch.inf))
    if loss in PU_LOSSES:
        margin = label - logits[row, 0]
        return torch.nn.functional.softplus(-margin), margin
    margin = label - others.amax(dim=1)[row]
    odds = label if loss == "bce" else label - others.logsumexp(dim=1)[row]
    return torch.nn.functional.softplus(-odds), margin
