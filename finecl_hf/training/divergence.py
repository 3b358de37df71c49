"""Losses that are not finite: which documents they came from, and how to go on."""

from __future__ import annotations

import numpy as np
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import TrainingArguments

from finecl_hf.data.documents import Document
from finecl_hf.training.checkpoints import last_checkpoint


_NAMED = 5  # documents that a message names


def divergence_message(what: str, keys: list[int], corpus: Dataset | None, args: TrainingArguments) -> str:
    """One sentence or two for a run that cannot go on; every process calls it.

    Args:
        what: such as "the loss is not finite at step 7".
        keys: of the documents that may be to blame, as this process knows them.
        corpus: the documents, see `corpus.load_corpus`; None names keys.
    """
    names = name_documents(gather_object(keys), corpus)
    where = f", in a batch with {names}" if names else ""
    checkpoint = last_checkpoint(args.output_dir)
    kept = f"{checkpoint} was written before and is whole" if checkpoint else "No checkpoint was written"
    half = " or ".join(f"--{name} false" for name in ("bf16", "fp16") if getattr(args, name))
    with_half = f"{'go on from it' if checkpoint else 'start again'} with {half}, or " if half else ""
    documents = ", or leave these documents out" if names else ""
    return (
        f"Training has diverged: {what}{where}. {kept}. The same command would come to the same point: "
        f"{with_half}lower --learning_rate (now {args.learning_rate:g}){documents}, with another --output_dir."
    )


def name_documents(keys: list[int], corpus: Dataset | None) -> str:
    """Titles of the documents with these keys, a few of many; nothing for none."""
    keys = list(dict.fromkeys(keys))
    if not keys:
        return ""
    named, more = keys[:_NAMED], len(keys) - _NAMED
    if corpus is None:
        names = [str(key) for key in named]
    else:
        row_of = {key: row for row, key in enumerate(np.asarray(corpus["key"]).tolist())}
        names = [f'"{Document.from_json(corpus[row_of[key]]["document"]).title}"' for key in named]
    what = "the document" if len(keys) == 1 else "the documents"
    if corpus is None:
        what += " with the key" if len(keys) == 1 else " with the keys"
    return f"{what} {', '.join(names)}" + (f" and {more:,} more" if more > 0 else "")
