"""What `--help` of a script prints: our flags in groups, a line each, and those of the Trainer's that most runs need.

The Trainer's own hundred flags, and the whole text of ours, are in `--help_all`.
"""

from __future__ import annotations

import shutil
from argparse import Action
from collections.abc import Iterable, Sequence
from dataclasses import fields


# Flags of the Trainer's that most runs give
COMMON = (
    "output_dir", "num_train_epochs", "max_steps", "learning_rate", "per_device_train_batch_size",
    "per_device_eval_batch_size", "gradient_accumulation_steps", "bf16", "seed", "logging_steps", "eval_strategy",
    "save_strategy", "save_steps", "save_total_limit", "resume_from_checkpoint", "do_train", "do_eval", "do_predict",
    "report_to", "push_to_hub", "hub_model_id",
)  # fmt: skip
OF_STAGE_3 = ("do_train", "do_eval", "do_predict")  # stages that only train refuse them
LEAST_WIDE, MOST_WIDE = 100, 140  # characters of a line
MOST_CHOICES = 6  # that are told
COLUMN = 32  # where the text of a flag begins


def help_page(program: str, types: Sequence[type], actions: Iterable[Action]) -> str:
    """The page.

    Args:
        program: name of the script.
        types: dataclasses of arguments, a group each: of the fields that they declare, not of those they inherit.
        actions: the parser's, by which a flag's values and help are told.
    """
    by_name: dict[str, Action] = {}
    for action in actions:
        by_name.setdefault(action.dest, action)  # not the --no_... beside it, which bears the same help
    told: set[str] = set()
    lines = [
        f"usage: {program} --flag value ...      or: {program} CONFIG.yaml --flag value ...",
        "",
        "--help_all shows each flag in full, and all flags of the Trainer. Flags may stand in a .json or .yaml file.",
    ]
    for type in types:
        own = [name for name in _declared(type) if name in by_name and name not in COMMON]
        lines += ["", f"{_title(type)}:", *(_line(by_name[name]) for name in own)]
        told.update(own)
    if any(getattr(type, "only_trains", False) for type in types):
        told.update(OF_STAGE_3)
    common = [name for name in COMMON if name in by_name and name not in told]
    return "\n".join([*lines, "", "Training, the Trainer's:", *(_line(by_name[name]) for name in common), ""])


def _declared(type: type) -> list[str]:
    """Names of the fields that a dataclass declares itself, in its order."""
    return [name for name in vars(type).get("__annotations__", {}) if name in {field.name for field in fields(type)}]


def _title(type: type) -> str:
    """`ModelArguments` -> "Model"."""
    name = type.__name__.removesuffix("TrainingArguments").removesuffix("Arguments")
    return {"Denoise": "Stage 1", "Pretrain": "Stage 2", "Finetune": "Stage 3", "Data": "Documents"}.get(name, name)


def _line(action: Action) -> str:
    text = " ".join((action.help or "").split()).replace("%%", "%")
    if action.choices and len(action.choices) <= MOST_CHOICES:
        text = f"{'|'.join(map(str, action.choices))}: {text}"
    default = action.default
    end = "" if default in (None, "", False) or callable(default) else f" [{default}]"
    width = min(max(shutil.get_terminal_size().columns, LEAST_WIDE), MOST_WIDE)
    room = width - COLUMN - len(end)
    if len(text) > room:
        text = text[: room - 3].rstrip(" ,;.") + "..."
    return f"  {action.option_strings[0]}".ljust(COLUMN) + text + end
