"""The `Trainer` that all three stages share: whatever ends a run, a whole checkpoint is left to go on from."""

from __future__ import annotations

import logging
import traceback
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import torch
from datasets import Dataset
from huggingface_hub.errors import HFValidationError
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback
from transformers.trainer_utils import HubStrategy, TrainOutput

from finecl_hf.cards.card_file import write_card
from finecl_hf.cards.model_card import FineCLCardData
from finecl_hf.cards.pushing import Destination, reason_of, stage_model, uploading, warn_of_local_base, write_arguments
from finecl_hf.data.files import writing
from finecl_hf.encoding.features import DocumentEncoder, LabelledFeatures
from finecl_hf.errors import FineCLError
from finecl_hf.training.arguments import FineCLTrainingArguments
from finecl_hf.training.checkpoints import (
    describe_run,
    is_checkpoint,
    last_checkpoint,
    refuse_another_run,
    refuse_longer_run,
    remove_incomplete,
    require_whole,
    write_run,
)
from finecl_hf.training.divergence import divergence_message
from finecl_hf.training.fsdp import check_sharding, sharding_layers
from finecl_hf.training.hub_push import HubPush
from finecl_hf.training.private_hooks import PrivateHooks
from finecl_hf.training.sigterm import StopCallback
from finecl_hf.training.trainer_flags import REFUSED_ARGUMENTS, refuse_arguments


logger = logging.getLogger(__name__)


class FineCLTrainer(PrivateHooks):
    """What the three stages share: runs that end in order and go on exactly, loss components in the log, the card.

    Ends a run in order after SIGTERM, on a full disk, and where a loss or gradient is not finite.

    From [`LabelledFeatures`] that a `DocumentEncoder` made it takes the tokenizer and the collator, where they are not
    given.

    Args:
        corpus: the documents, see `corpus.load_corpus`, to name those whose loss is not finite; without it, the
            message names their keys.
        card_data: facts for the model card, filled in as the run goes on.
    """

    refused_arguments: ClassVar[dict[str, str]] = REFUSED_ARGUMENTS
    hub_repo_type: ClassVar[str] = "model"  # what `push_to_hub` pushes
    loss_is_scaled_for_ga = False  # compute_loss returns the mean of its micro-batch

    def __init__(self, *args, corpus: Dataset | None = None, card_data: FineCLCardData | None = None, **kwargs):
        given = dict(signature(Trainer).bind_partial(*args, **kwargs).arguments)
        refuse_arguments(given, self.refused_arguments)
        if not isinstance(given.get("args"), FineCLTrainingArguments):
            raise FineCLError(
                f"args: {type(given.get('args')).__name__} lacks settings of {type(self).__name__}; give it "
                "DenoiseArguments, PretrainArguments or FinetuneArguments."
            )
        self.train_documents = getattr(given.get("train_dataset"), "documents", None)
        super().__init__(**self._complete(given))
        if self.args.n_gpu > 1:
            raise FineCLError("Several GPUs are visible to one process; start one per GPU with `accelerate launch`.")
        check_sharding(self.accelerator)
        self.corpus, self.card_data = corpus, card_data
        self.stopping = StopCallback(self._any_process, self.accelerator.wait_for_everyone)
        self.add_callback(self.stopping)
        self.add_callback(StepCallback(self))
        self._batches: list[tuple[dict[str, Any], torch.Tensor]] = []  # of the running step, with their losses
        self._components: dict[str, list] = defaultdict(lambda: [0.0, 0])
        self._run: dict[str, str] = {}
        self.resumed_from: str | None = None  # the checkpoint that the last training went on from
        self._pushing = HubPush()

    def _complete(self, given: dict[str, Any]) -> dict[str, Any]:
        """Arguments of the Trainer, with what [`LabelledFeatures`] tell: the tokenizer, and with it the collator."""
        sets = [given.get("train_dataset"), given.get("eval_dataset")]
        encoder = next((dataset.encoder for dataset in sets if getattr(dataset, "encoder", None)), None)
        for name in ("train_dataset", "eval_dataset"):
            if isinstance(given.get(name), LabelledFeatures):
                given[name] = self.prepare_dataset(given[name], given["args"], name == "train_dataset")
        if encoder is not None and given.get("processing_class") is None:
            given["processing_class"] = encoder.tokenizer
        if given.get("data_collator") is None:
            if given.get("processing_class") is None:
                raise FineCLError(
                    "there is no tokenizer to pad batches with; pass processing_class=tokenizer, or a data_collator."
                )
            given["data_collator"] = self.default_collator(given["args"], given["processing_class"], encoder)
        return given

    def prepare_dataset(self, dataset: LabelledFeatures, args: FineCLTrainingArguments, train: bool) -> Any:
        """What is trained or evaluated on, of [`LabelledFeatures`]."""
        return dataset.features.with_format("numpy") if train else dataset

    def default_collator(
        self, args: FineCLTrainingArguments, tokenizer: PreTrainedTokenizerBase, encoder: DocumentEncoder | None
    ) -> Any:
        """The collator where none was given."""
        raise NotImplementedError

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs) -> TrainOutput:
        """As the Trainer's.

        Args:
            resume_from_checkpoint: a folder; or True for the newest checkpoint of `output_dir`.

        Raises:
            FineCLError: a loss, a gradient or weights are not finite, the disk is full, or the checkpoint is damaged
                or belongs to another run.
            SystemExit: 143, after SIGTERM.
        """
        self._refuse_dropping_everything()
        checkpoint = self.resumed_from = self._checkpoint(resume_from_checkpoint)
        is_trial = kwargs.get("trial") is not None  # of a search: never resumed, and its model is not made yet
        self._run = describe_run(self) if self.is_world_process_zero() and not is_trial else {}
        if checkpoint and self._run:
            refuse_another_run(checkpoint, self._run)
            refuse_longer_run(checkpoint, self.args)
        if self.is_world_process_zero():
            if checkpoint:
                logger.info("Going on from %s.", checkpoint)
            remove_incomplete(self.args.output_dir, checkpoint)
        self.accelerator.wait_for_everyone()
        if checkpoint:
            self.go_on_from(checkpoint)
        with self.stopping.listening(), sharding_layers(self.accelerator, self.model), writing(self.args.output_dir):
            with damaged_checkpoint(checkpoint):
                result = super().train(resume_from_checkpoint=checkpoint, **kwargs)
        if self.args.load_best_model_at_end and self.state.best_model_checkpoint:
            self.restore(self.state.best_model_checkpoint)
        self._refuse_spoilt_weights()
        self.stopping.leave_if_requested()
        return result

    def go_on_from(self, checkpoint: str) -> None:
        """Takes from a checkpoint, before training goes on from it, what the Trainer does not."""
        self.restore(checkpoint)

    def restore(self, checkpoint: str) -> None:
        """Takes from a checkpoint what belongs to its weights, but is none; nothing here."""

    def _refuse_dropping_everything(self) -> None:
        batch, documents = self.args.train_batch_size * self.args.world_size, self.train_dataset
        if self.args.dataloader_drop_last and isinstance(documents, Dataset) and len(documents) < batch:
            raise FineCLError(
                f"--dataloader_drop_last true: {len(documents):,} documents do not fill one batch of {batch:,}, so "
                "none is left to train on; take smaller batches or leave it away."
            )

    def _checkpoint(self, wanted: str | bool | None) -> str | None:
        if wanted is True:
            found = last_checkpoint(self.args.output_dir)
            if found is None:
                raise FineCLError(f"{self.args.output_dir}: there is no checkpoint to go on from; train without it.")
            return found
        return require_whole(wanted) if wanted else None

    def training_step(self, model, inputs, num_items_in_batch=None) -> torch.Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._batches.append((inputs, loss))
        return loss

    def check_step(self, model: nn.Module) -> None:
        """Stops all processes before a step that would spoil the weights; tells them of SIGTERM in the same breath.

        Raises:
            FineCLError: the loss of a batch, or the gradient, is not finite.
        """
        batches, self._batches = self._batches, []
        spoilt = ~torch.stack([loss for _, loss in batches]).isfinite()  # (accumulated batches,)
        # With fp16, gradients overflow every now and then: the scaler then skips the step and lowers the scale.
        gradient = self.accelerator.scaler is None and not _has_finite_gradient(model)
        flags = torch.stack(
            [spoilt.any(), spoilt.new_tensor(gradient), spoilt.new_tensor(self.stopping.requested)]
        ).float()
        loss_flag, gradient_flag, stop_flag = self.accelerator.reduce(flags, reduction="sum").tolist()
        self.stopping.agreed = self.stopping.agreed or stop_flag > 0
        if not loss_flag and not gradient_flag:
            return
        step = f"at step {self.state.global_step + 1:,}"
        if loss_flag:
            what = f"the loss is not finite {step}"
            guilty = [inputs for (inputs, _), bad in zip(batches, spoilt.tolist(), strict=True) if bad]
            keys = [key for inputs in guilty for key in self._documents_to_blame(inputs)]
        else:
            what = f"the gradient is not finite {step}"
            keys = [key for inputs, _ in batches for key in document_keys(inputs)]
        raise FineCLError(divergence_message(what, keys, self.corpus, self.args))

    def note(self, **components: torch.Tensor | float) -> None:
        """Adds to the means that the next training log shows."""
        for name, value in components.items():
            entry = self._components[name]
            entry[0] = entry[0] + (value.detach().float() if isinstance(value, torch.Tensor) else value)
            entry[1] += 1

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self._components:  # training logs only
            names = sorted(self._components)
            sums = torch.tensor([[float(self._components[name][0]), self._components[name][1]] for name in names])
            sums = self.accelerator.reduce(sums.to(self.args.device), reduction="sum")
            logs.update({name: (total / count).item() for name, (total, count) in zip(names, sums, strict=True)})
            self._components.clear()
        super().log(logs, start_time)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As the Trainer's, but it pushes nothing: an upload that fails must not stop what is still to be written."""
        into_checkpoint = bool(output_dir) and is_checkpoint(output_dir)
        if into_checkpoint:  # whose first file this is
            self._refuse_spoilt_weights()
        with writing(output_dir or self.args.output_dir):
            super().save_model(output_dir, _internal_call=True)
        if self._run and into_checkpoint:
            write_run(output_dir, self._run)

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """As the Trainer's. A Hub that cannot be reached, or refuses, ends no run: `push_to_hub` tries it again."""
        if not self.is_world_process_zero():
            return
        try:
            self.hub_model_id = self._destination(token, private).opened().repo_id
        except HFValidationError:  # no name that there could be
            raise
        except Exception as error:  # the HTTP client's own exceptions change with the release of huggingface_hub
            logger.warning("There is no repository to push to (%s); it is tried again at the end.", reason_of(error))

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """As the Trainer's, but uploads only what the run wrote, see [`stage`].

        Raises:
            UploadError: the Hub cannot be reached, or refuses; the output folder is whole.
        """
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        self.create_model_card(**kwargs)  # whatever becomes of the upload
        destination = self._destination(token, private, revision)
        with uploading(destination.command(self.args.output_dir, self.pushes_report)):
            destination = destination.opened()
        if destination.repo_id != self.hub_model_id:
            self.hub_model_id = destination.repo_id
            self.create_model_card(**kwargs)
        if self.card_data is not None:
            warn_of_local_base(self.card_data)
        upload = self._pushing.push(lambda to: self.stage(self.args.output_dir, to), destination, commit_message)
        with uploading(destination.command(self.args.output_dir, self.pushes_report)):
            if not blocking:
                return upload
            result = upload.result()
        logger.info("Uploaded %s to %s.", self.args.output_dir, result.repo_url)
        return result

    def push_checkpoint(self, checkpoint: str) -> None:
        """Uploads the model of a checkpoint while training goes on, where `--hub_strategy` asks for it.

        If an upload is still under way, nothing is done, unless `--hub_always_push` asks for it.
        """
        if not self.is_world_process_zero() or self.args.hub_strategy == HubStrategy.END or self.hub_model_id is None:
            return
        self.create_model_card()
        if self.args.hub_always_push or not self._pushing.is_busy:
            message = f"Training in progress, step {self.state.global_step}"
            self._pushing.push(lambda to: self.stage(checkpoint, to), self._destination(), message)

    def stage(self, weights: str, staged: Path) -> None:
        """Puts what is to be uploaded into an empty folder.

        Args:
            weights: the folder where they lie; everything else is taken from the output folder.
        """
        stage_model(Path(self.args.output_dir), Path(weights), staged, self.processing_class, self.pushes_report)

    @property
    def pushes_report(self) -> bool:
        """Whether what quotes documents is pushed, too; stage 1 alone has such files."""
        return getattr(self.args, "push_report", False)

    def _destination(
        self, token: str | None = None, private: bool | None = None, revision: str | None = None
    ) -> Destination:
        args = self.args
        return Destination(
            self.hub_model_id or args.hub_model_id or Path(args.output_dir).absolute().name,
            self.hub_repo_type,
            args.hub_private_repo if private is None else private,
            revision or args.hub_revision,
            token or args.hub_token,
        )

    def create_model_card(self, **kwargs: Any) -> None:
        """Writes README.md into the output folder, in place of the Trainer's generic card; card.json, from which
        `finecl-hf card` makes it again; and the arguments as JSON."""
        if not self.is_world_process_zero():
            return
        write_arguments(self.args.to_dict(), Path(self.args.output_dir))
        if self.card_data is not None:
            if self.hub_model_id and self.hub_repo_type == "model":  # known in full once the repository exists
                self.card_data.repo = self.hub_model_id
            self.card_data.log_history = self.state.log_history
            write_card(self.card_data, self.args.output_dir)

    def _documents_to_blame(self, inputs: dict[str, Any]) -> list[int]:
        """Keys of those documents of a batch that may have made its loss infinite."""
        return document_keys(inputs)

    def _refuse_spoilt_weights(self) -> None:
        """Raises FineCLError where the last step made weights infinite: nothing may be saved of them."""
        weights = self.accelerator.unwrap_model(self.model).parameters()
        if self._any_process(not all(weight.isfinite().all() for weight in weights)):
            what = f"weights are not finite after step {self.state.global_step:,}"
            raise FineCLError(divergence_message(what, [], self.corpus, self.args))

    def _any_process(self, flag: bool) -> bool:
        """Whether any process passes True; all of them have to ask."""
        return bool(self.accelerator.reduce(torch.tensor(float(flag), device=self.args.device), reduction="sum"))


class StepCallback(TrainerCallback):
    """Tells collators and samplers the epoch, also that of a run resumed in the middle of one; checks each step."""

    def __init__(self, trainer: FineCLTrainer):
        self.trainer = trainer

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.trainer.data_collator.epoch.set(int(state.epoch or 0))

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.trainer.check_step(model)


# Functions of the Trainer that read the parts of a checkpoint
_READERS = {"_load_from_checkpoint", "_load_optimizer_and_scheduler", "_load_rng_state", "_load_scaler"}


@contextmanager
def damaged_checkpoint(checkpoint: str | None) -> Iterator[None]:
    """Turns what goes wrong while the parts of a checkpoint are read into one sentence."""
    try:
        yield
    except FineCLError:
        raise
    except Exception as error:  # safetensors, pickle and torch raise all kinds
        functions = {frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)}
        if checkpoint is None or not functions & _READERS:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FineCLError(
            f"{checkpoint}: a part of this checkpoint is damaged ({reason[:200]}); remove the folder, and the same "
            "command goes on from the checkpoint before it."
        ) from error


def document_keys(inputs: dict[str, Any]) -> list[int]:
    """Keys of the documents of a batch, or of all its chunks."""
    return [key for chunk in inputs.get("chunks", [inputs]) for key in chunk["keys"].tolist()]


def _has_finite_gradient(model: nn.Module) -> bool:
    """Whether gradients are finite; where they were clipped by an infinite norm, there is NaN in them."""
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if isinstance(norm, DTensor):  # FSDP's, of which each process has a part
        norm = norm.full_tensor()
    return bool(norm.isfinite())
