"""Uploads the output folder of a run that has ended: the same files, cleaned in the same way, as the run itself would.

The folder says which stage it is of; nothing of it is changed. This lies here because stage 1 does, on the highest
storey: it knows all that is uploaded.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from finecl_hf.cards.card_file import CARD, read_card
from finecl_hf.cards.model_card import FineCLCardData, render_model_card
from finecl_hf.cards.pushing import INDEX, WEIGHTS, Destination, stage_model, uploading
from finecl_hf.denoising.publishing import stage_learning_order
from finecl_hf.encoding.encoders import load_tokenizer
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.files import TABLE


TOKENIZER = "tokenizer.json"


def push_folder(folder: Path, destination: Destination, quoting: bool = False) -> str:
    """Uploads what a run left.

    Args:
        destination: its type may be "", for what the folder has for the Hub: the learning order of stage 1, whose
            product it is, and else the model.
        quoting: what quotes documents goes with it.

    Returns:
        The address of what is there now.

    Raises:
        FineCLError: no run has ended in the folder, or what is asked for is not there.
        UploadError: the Hub cannot be reached, or refuses.
    """
    card = read_card(folder)
    asked, own = destination.repo_type, "dataset" if card.silver_labels else "model"
    destination = replace(destination, repo_type=asked or own)
    is_dataset = destination.repo_type == "dataset"
    if is_dataset and not (folder / TABLE).is_file():
        raise FineCLError(f"{folder}: holds no {TABLE}, the dataset of a stage 1; leave --repo_type away.")
    if not is_dataset and not any((folder / name).is_file() for name in (*WEIGHTS, INDEX)):
        raise FineCLError(f"{folder}: holds no weights ({' or '.join(WEIGHTS)}); name the output folder of a run.")
    command = destination.command(str(folder), quoting) + (f" --repo_type {asked}" if asked else "")
    with uploading(command):
        destination = destination.opened()
    with tempfile.TemporaryDirectory(prefix="finecl_hf_push_") as name:
        staged = Path(name)
        if is_dataset:
            stage_learning_order(folder, staged, destination.repo_id, quoting)
        else:
            _stage_model(folder, staged, card, destination.repo_id, quoting)
        with uploading(command):
            return str(destination.upload(staged, "Upload of a finished run").result().repo_url)


def _stage_model(folder: Path, staged: Path, card: FineCLCardData, repo: str, quoting: bool) -> None:
    tokenizer = load_tokenizer(str(folder)) if (folder / TOKENIZER).is_file() else None
    stage_model(folder, folder, staged, tokenizer, quoting)
    written = folder / CARD
    if not written.is_file() or written.read_bytes() == str(render_model_card(card)).encode():
        card.repo = repo
        render_model_card(card).save(staged / CARD)  # else somebody has added to it
