"""The facts of a model card as a file beside the model, from which the card can be made again."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from finecl_hf.cards.model_card import (
    SECRETS,
    FineCLCardData,
    TrainingData,
    command_line,
    plain_result,
    plain_value,
    render_model_card,
)
from finecl_hf.cards.private_paths import without_folders
from finecl_hf.errors import FineCLError


CARD, FACTS, STATE = "README.md", "card.json", "trainer_state.json"
NO_TOKEN = f"hf_{'0' * 16}"  # stands for an access token, and is shown as one is


def write_card(data: FineCLCardData, folder: str | os.PathLike) -> None:
    """Writes the card, and the facts that it was made of but for the log, which the Trainer's state holds."""
    render_model_card(data).save(os.path.join(folder, CARD))
    facts = json.dumps(_facts(data), ensure_ascii=False, indent=1, default=str)
    Path(folder, FACTS).write_text(facts, encoding="utf-8")


def read_card(folder: str | os.PathLike) -> FineCLCardData:
    """The facts of the card of an output folder.

    Raises:
        FineCLError: there is no such folder, it lacks what is needed, or that cannot be read.
    """
    if not Path(folder).is_dir():
        raise FineCLError(f"{folder}: there is no such folder; name the output folder of a run.")
    for name in (FACTS, STATE):
        if not Path(folder, name).is_file():
            raise FineCLError(
                f"{folder}: there is no {name}, from which the card is made; a run_*.py script that trains writes it "
                "at its end."
            )
    try:
        facts, state = (json.loads(Path(folder, name).read_text(encoding="utf-8")) for name in (FACTS, STATE))
        return _card_data(facts, state["log_history"])
    except (TypeError, KeyError, ValueError, AttributeError) as error:  # JSON and UTF-8 raise a ValueError
        reason = " ".join(str(error).split())
        raise FineCLError(
            f"{folder}: {FACTS} and {STATE} do not hold the facts of a card as this version writes them ({reason}); "
            "make the card with the version that trained the model."
        ) from error


def is_as_made(card: Path, data: FineCLCardData) -> bool:
    """Whether a card is what these facts give, or is not there: nobody has changed it."""
    return not card.is_file() or card.read_bytes() == str(render_model_card(data)).encode()


def _facts(data: FineCLCardData) -> dict[str, Any]:
    """As JSON has them: no access token, and arguments as the card shows them, whatever lies on the disk later."""
    facts = {entry.name: getattr(data, entry.name) for entry in fields(data) if entry.name != "log_history"}
    arguments = {
        name: {key: without_folders(plain_value(value)) for key, value in facts[name].items() if key not in SECRETS}
        for name in ("hyperparameters", "non_default_hyperparameters")
    }
    return {
        **facts,
        **arguments,
        "datasets": [asdict(corpus) for corpus in data.datasets],
        "eval_results": [asdict(plain_result(result)) for result in data.eval_results],
        "command": command_line(data.command).replace("$HF_TOKEN", NO_TOKEN),
    }


def _card_data(facts: dict[str, Any], log_history: list[dict[str, Any]]) -> FineCLCardData:
    parts = {
        "datasets": [TrainingData(**corpus) for corpus in facts["datasets"]],
        "eval_results": [EvalResult(**result) for result in facts["eval_results"]],
    }
    data = FineCLCardData(**{**facts, **parts}, log_history=log_history)
    data.base_model_id = facts["base_model_id"]  # a folder that is gone by now was no Hub id
    return data
