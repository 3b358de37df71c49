"""Uploads the output folder of a run that has ended: the same files, cleaned in the same way, as the run itself would.

The folder says which stage it is of; nothing of it is changed. This lies here because stage 1 does, on the highest
storey: it knows all that is uploaded.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from finecl_hf.cards.card_file import CARD, FACTS, is_as_made, read_card
from finecl_hf.cards.markdown import renamed
from finecl_hf.cards.model_card import FineCLCardData, base_folder, render_model_card
from finecl_hf.cards.pushing import GRAPH, INDEX, WEIGHTS, Destination, stage_model, uploading, warn_of_local_base
from finecl_hf.denoising.publishing import stage_learning_order
from finecl_hf.encoding.encoders import load_tokenizer
from finecl_hf.errors import FineCLError
from finecl_hf.extraction import configuration  # noqa: F401  AutoTokenizer knows relation models by then
from finecl_hf.learning_order.files import TABLE


TOKENIZER = "tokenizer.json"
TRACES = b"pkg.torch.onnx.stack_trace"  # which exports of earlier versions hold


def push_folder(folder: Path, destination: Destination, quoting: bool = False) -> str:
    """Uploads what a run left, or an ONNX export of it.

    Args:
        destination: its type may be "", for what the folder has for the Hub: the learning order of stage 1, whose
            product it is, and else the model.
        quoting: what quotes documents goes with it.

    Returns:
        The address of what is there now.

    Raises:
        FineCLError: the folder holds no finished run and no export, or not what is asked for.
        UploadError: the Hub cannot be reached, or refuses.
    """
    is_export = (folder / GRAPH).is_file()
    card = None if is_export and not (folder / FACTS).is_file() else read_card(folder)  # whatever was exported
    asked, own = destination.repo_type, "dataset" if card and card.silver_labels and not is_export else "model"
    destination = replace(destination, repo_type=asked or own)
    is_dataset = destination.repo_type == "dataset"
    if is_dataset and not (folder / TABLE).is_file():
        raise FineCLError(f"{folder}: holds no {TABLE}, the dataset of a stage 1; leave --repo_type away.")
    if not is_dataset and not any((folder / name).is_file() for name in (*WEIGHTS, INDEX, GRAPH)):
        raise FineCLError(
            f"{folder}: holds no weights ({', '.join(WEIGHTS)} or {GRAPH}); name the output folder of a run, or an "
            "export."
        )
    if is_export and TRACES in (folder / GRAPH).read_bytes():
        raise FineCLError(f"{folder}: {GRAPH} holds paths of the machine that made it; export the model again.")
    command = destination.command(str(folder), quoting) + (f" --repo_type {asked}" if asked else "")
    with uploading(command):
        destination = destination.opened()
    with tempfile.TemporaryDirectory(prefix="finecl_hf_push_") as name:
        staged = Path(name)
        if is_dataset:
            stage_learning_order(folder, staged, destination.repo_id, quoting)
        else:
            _stage_model(folder, staged, card, destination.repo_id, quoting)
            if card:
                warn_of_local_base(card)
        with uploading(command):
            return str(destination.upload(staged, "Upload of a finished run").result().repo_url)


def _stage_model(folder: Path, staged: Path, card: FineCLCardData | None, repo: str, quoting: bool) -> None:
    tokenizer = load_tokenizer(str(folder)) if (folder / TOKENIZER).is_file() else None
    stage_model(folder, folder, staged, tokenizer, quoting)
    if card is None:
        return
    if is_as_made(folder / CARD, card):
        card.repo = repo
        render_model_card(card).save(staged / CARD)
    elif (staged / CARD).is_file():  # somebody has added to it, or another version wrote it
        text = renamed((staged / CARD).read_bytes(), card.repo, repo)
        (staged / CARD).write_bytes(renamed(text, card.base_model, base_folder(card)))
