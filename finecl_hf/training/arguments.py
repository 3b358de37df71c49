"""Command-line arguments of the three scripts, as dataclasses; names follow transformers' own example scripts."""

from __future__ import annotations

import json
import logging
import os
import sys
from argparse import SUPPRESS, Action
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments

from finecl_hf.data.column_names import parse_columns
from finecl_hf.data.json_stream import read_json
from finecl_hf.errors import FineCLError, UploadError, escape_what_consoles_cannot_show, is_mistake_of_input
from finecl_hf.training.help_page import help_page
from finecl_hf.training.sigterm import EXIT_STATUS, INTERRUPTED, on_sigterm
from finecl_hf.training.trainer_flags import REFUSED, refuse_flags


logger = logging.getLogger(__name__)

NOT_UPLOADED = 3  # exit status of a run whose folder is whole, and that the Hub has not


def option(default: Any, help: str) -> Any:
    """A documented dataclass field."""
    return field(default=default, metadata={"help": help})


def check_range(arguments: Any, names: str, low: float, high: float = sys.float_info.max) -> None:
    """Refuses values outside [low, high], NaN and infinity among them. None is "not given".

    Args:
        names: of the arguments, separated by spaces.
    """
    for name in names.split():
        value = getattr(arguments, name)
        if value is not None and not low <= value <= high:
            limits = f"of at least {low:g}" if high == sys.float_info.max else f"from {low:g} to {high:g}"
            raise FineCLError(f"--{name} {value} is out of range; give a number {limits}.")


@dataclass
class ModelArguments:
    """Which encoder to start from."""

    model_name_or_path: str = option(None, "Encoder to start from: a folder or Hub id. Required.")
    tokenizer_name: str | None = option(None, "Tokenizer, where it is not the encoder's own.")
    model_revision: str = option("main", "Branch, tag or commit of the encoder on the Hub.")
    dtype: Literal["float32", "bfloat16", "float16"] = option(
        "float32", "Precision of the weights, whatever the checkpoint is stored in. For speed use --bf16 instead."
    )
    max_seq_length: int | None = option(None, "Tokens that the encoder reads at a time; its maximum by default.")
    base_model: str | None = option(
        None, "Encoder of the adapter that is named, where it is no longer where the adapter's configuration says."
    )
    entity_markers: Literal["none", "asterisk", "punct", "typed"] | None = option(
        None,
        "Put markers around mentions: `asterisk`; `punct`, which tells the head of a sentence from its tail; `typed`, "
        "with the argument's type, too. By default as the relation model that goes on does; else `typed` for --task "
        "sentence, none for documents.",
    )
    hide_names: Literal["none", "type", "mask"] | None = option(
        None,
        "Put a word for its type, or the mask token, in place of each mention: names cannot be memorised then. "
        "Defaults as for --entity_markers.",
    )
    attention_dropout: float | None = option(
        None, "Dropout of the attention, in place of the encoder's own; with 0, CPUs are about twice as fast."
    )

    def __post_init__(self):
        check_range(self, "attention_dropout", 0, 0.999)
        if not self.model_name_or_path:
            raise FineCLError("--model_name_or_path is missing; name an encoder: a folder or a Hub id.")

    @property
    def encoder_options(self) -> dict[str, Any]:
        """Keyword arguments of `encoders.loading_options`."""
        return {"revision": self.model_revision, "attention_dropout": self.attention_dropout}

    @property
    def torch_dtype(self) -> torch.dtype:
        return getattr(torch, self.dtype)


@dataclass
class DataArguments:
    """Where documents come from. A file may be in any format of docs/data_formats.md."""

    dataset_name: str | None = option(None, "Hub dataset id, in place of --train_file; its split `train` is used.")
    dataset_split: str = option("train", "Split of --dataset_name to train on, such as train_distant.")
    train_file: str | None = option(
        None,
        'Texts to train on: a file, or shards as a folder or a pattern in quotes ("silver-*.jsonl.gz").',
    )
    rel_info: str | None = option(None, "JSON of relation id -> readable name; fixes the label set.")
    exclude_file: str | None = option(
        None, "Held-out documents: facts about their entity pairs (by name) leave the training data."
    )
    table_columns: list[str] | None = option(
        None, "Columns of tables, where their names do not tell: sentence=Satz head=Kopf tail=Ende."
    )
    label_map: str | None = option(
        None, "JSON, CSV or TSV of free relation name -> relation, for the training documents; others are left out."
    )
    skip_invalid: bool = option(False, "Leave invalid documents out, and say how many.")
    max_train_samples: int | None = option(None, "Use the first so many training documents.")
    preprocessing_num_workers: int | None = option(
        None, "Processes that tokenise, and read shards; results are the same for any number."
    )
    cache_dir: str | None = option(None, "Where `datasets` keeps what it has read.")

    def __post_init__(self):
        if self.train_file and self.dataset_name:
            raise FineCLError("--train_file and --dataset_name exclude each other; give one of them.")
        check_range(self, "max_train_samples", 1)
        parse_columns(self.table_columns, "--table_columns")

    @property
    def columns(self) -> dict[str, str] | None:
        """What `--table_columns` says, by role."""
        return parse_columns(self.table_columns, "--table_columns")

    def require_training_documents(self) -> None:
        """Raises FineCLError where none are named: only a run that does not train can do without."""
        if not self.train_source:
            raise FineCLError("Name the training documents: either --train_file or --dataset_name.")

    @property
    def train_source(self) -> str | None:
        return self.train_file or self.dataset_name

    @property
    def train_split(self) -> str | None:
        return None if self.train_file else self.dataset_split


@dataclass
class FineCLTrainingArguments(TrainingArguments):
    """`TrainingArguments` with other defaults: remove_unused_columns=False (collators need every column),
    eval_do_concat_batches=False (predictions of a large document must not pad those of all),
    logging_nan_inf_filter=False (a diverged loss must show), warmup_steps=0.1 (a ratio), logging_steps=50,
    dataloader_pin_memory only where there is a GPU, save_total_limit=2; do_train=None, do_eval=None, do_predict=None
    (what the files that are named allow). Batches count documents."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {}  # of --preset: other defaults, by argument
    refused: ClassVar[dict[str, str]] = REFUSED
    only_trains: ClassVar[bool] = True  # there is nothing that a run without training could do

    remove_unused_columns: bool = option(False, "Collators need every column.")
    logging_nan_inf_filter: bool = option(False, "Show losses that are not finite.")
    warmup_steps: float = option(0.1, "Warm-up in steps, or as a share of all steps if below 1.")
    logging_steps: float = option(50, "Log every so many steps.")
    dataloader_pin_memory: bool = option(torch.cuda.is_available(), "Pin batches in memory, for a GPU.")
    save_total_limit: int | None = option(2, "Keep so many checkpoints.")
    eval_do_concat_batches: bool = option(False, "Pad the predictions of all batches to one size.")
    # `bool`, though None means "not given": the parser takes flags without a value for these only
    do_train: bool = option(None, "Train; the default unless only --do_eval or --do_predict is asked for.")
    do_eval: bool = option(None, "Evaluate on --validation_file; the default where there is one.")
    do_predict: bool = option(None, "Predict --test_file; the default where there is one.")

    def __post_init__(self):
        check_range(self, "seed data_seed", 0, 2**32 - 1)
        check_range(self, "per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps", 1)
        check_range(self, "num_train_epochs learning_rate weight_decay warmup_steps dataloader_num_workers", 0)
        refuse_flags(self, self.refused)
        without = [flag for flag in ("hub_model_id", "hub_revision", "push_report") if getattr(self, flag, None)]
        if without and not self.push_to_hub:
            logger.warning("Without --push_to_hub, --%s pushes nothing; `finecl-hf push` does it later.", without[0])
        if self.push_to_hub and self.hub_strategy in ("checkpoint", "all_checkpoints"):
            raise FineCLError(
                f"--hub_strategy {self.hub_strategy}: checkpoints hold pickles and paths of this machine, and are not "
                "pushed; take every_save or end, and copy checkpoints in another way."
            )
        if self.only_trains and (self.do_train is False or self.do_eval or self.do_predict):
            raise FineCLError("--do_train false, --do_eval and --do_predict: this stage only trains; use stage 3.")
        super().__post_init__()
        if self.torch_compile:  # once for all lengths; `accelerate launch` sets this to false: a graph for each length
            os.environ["ACCELERATE_DYNAMO_USE_DYNAMIC"] = "true"

    @classmethod
    def preset_values(cls, preset: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """Defaults that a preset brings.

        Args:
            given: what the user says, by argument; a recipe may depend on it.
        """
        return cls.presets.get(preset, {})

    @classmethod
    def from_preset(cls, preset: str, **given: Any) -> FineCLTrainingArguments:
        """Arguments in Python as `--preset` makes them; those that are given count more.

        Raises:
            FineCLError: there is no such preset.
        """
        if preset not in cls.presets:
            known = ", ".join(cls.presets) or "none"
            raise FineCLError(f"{cls.__name__}: there is no preset {preset!r}; there are: {known}.")
        own = {field.name for field in fields(cls)}
        values = dict(cls.preset_values(preset, given))
        for name in sorted(values.keys() - own):
            logger.warning(
                "Preset %s: %s=%r is no argument of a trainer; give it to the model or the DocumentEncoder.",
                preset, name, values.pop(name),
            )  # fmt: skip
        return cls(**{**values, "preset": preset, **given})

    def __getstate__(self) -> dict[str, Any]:
        """Without the access token: the Trainer pickles its arguments into training_args.bin, and pushes that."""
        return {**self.__dict__, "hub_token": None}


def sampling_seed(args: TrainingArguments) -> int:
    """The seed that documents and batches are drawn with."""
    return args.data_seed if args.data_seed is not None else args.seed


class ScriptParser(HfArgumentParser):
    """Reports mistakes as [`FineCLError`] instead of printing the usage of a hundred flags, and `--help` in a page."""

    def __init__(self, types: Sequence[type]):
        super().__init__(types, allow_abbrev=False)
        self.shows_all = False
        self.add_argument("--help_all", action=_HelpAll, help="show each flag in full, and all flags of the Trainer")

    def format_help(self) -> str:
        if self.shows_all:
            return super().format_help()
        flags = [action for action in self._actions if action.dest not in ("help", "help_all")]
        return help_page(self.prog, self.dataclass_types, flags)

    def error(self, message: str):
        raise FineCLError(f"{message[0].upper()}{message[1:]}. Run with --help for all arguments.")


class _HelpAll(Action):
    def __init__(self, option_strings: list[str], dest: str, help: str):
        super().__init__(option_strings, SUPPRESS, nargs=0, default=SUPPRESS, help=help)

    def __call__(self, parser, namespace, values, option_string=None):
        parser.shows_all = True
        parser.print_help()
        parser.exit()


def parse_arguments(types: Sequence[type], argv: list[str] | None = None) -> tuple:
    """Parses flags, or one `.json` / `.yaml` file followed by flags that override it.

    A `--preset` supplies defaults: what the file or a flag says counts more. All values, those of a file too, pass
    through the same checks and conversions.

    Raises:
        FineCLError: an unknown key or flag, a value of the wrong type, a missing argument.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0].endswith((".json", ".yaml", ".yml")):
        argv = [*_as_flags(_read_config(argv[0])), *argv[1:]]
    for type in types:
        if issubclass(type, FineCLTrainingArguments):
            given = {field.name: _value_of(f"--{field.name}", argv) for field in fields(type)}
            argv = [*_as_flags(type.preset_values(given.get("preset"), given)), *argv]
    parser = ScriptParser(types)
    try:
        *parsed, unknown = parser.parse_args_into_dataclasses(
            argv, look_for_args_file=False, return_remaining_strings=True
        )
    except FineCLError:
        raise
    except json.JSONDecodeError as error:  # from --lr_scheduler_kwargs and its like
        raise FineCLError(f"The argument `{error.doc}` is no JSON: {error}.") from error
    except (ValueError, ImportError) as error:  # from TrainingArguments' own checks
        raise FineCLError(" ".join(str(error).split())) from error
    if unknown:
        parser.error(f"unknown arguments: {' '.join(unknown)}")
    return tuple(parsed)


def run_script(main: Callable[[], Any]) -> None:
    """Runs a script's `main`; how it may end is one line, not a traceback.

    Raises:
        SystemExit: 2 for a mistake in the user's input or a full disk, 3 where all is done but the upload, 143 after
            SIGTERM, 130 after Ctrl-C.
    """
    escape_what_consoles_cannot_show()
    try:
        with on_sigterm(_end_at_once):
            main()
        if torch.distributed.is_initialized():  # at the very end of a program, a process now and then aborts in it
            torch.distributed.destroy_process_group()
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on from the last complete checkpoint.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not is_mistake_of_input(error):
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(NOT_UPLOADED if isinstance(error, UploadError) else 2)


def _end_at_once(number, frame) -> None:
    """SIGTERM outside training, which has a way of its own."""
    print("Stopped by SIGTERM outside training; run the same command again.", file=sys.stderr)
    sys.exit(EXIT_STATUS)


def _read_config(path: str) -> dict[str, Any]:
    if path.endswith(".json"):
        values = read_json(path)
    else:
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, OverflowError, RecursionError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise FineCLError(f"{path}: cannot be read as a configuration file ({reason}).") from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise FineCLError(f"{path}: expected an object of argument: value.")
    for name, value in values.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise FineCLError(
                f"{path}: {name}: expected text, numbers, true or false, or lists and objects of them ({error}); put "
                "dates and the like in quotes."
            ) from error
    return values


def _as_flags(values: dict[str, Any]) -> list[str]:
    """Words of a command line, so that argparse checks a file's values like any others."""
    words = []
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, (list, tuple)):
            words += [f"--{name}", *map(str, value)]
        else:
            words += [f"--{name}", json.dumps(value) if isinstance(value, (dict, bool)) else str(value)]
    return words


def _value_of(flag: str, argv: list[str]) -> str | None:
    for i, word in reversed(list(enumerate(argv))):
        if word == flag and i + 1 < len(argv):
            return argv[i + 1]
        if word.startswith(f"{flag}="):
            return word.split("=", 1)[1]
    return None
