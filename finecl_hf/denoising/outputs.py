"""What stage 1 begins with and leaves: the table, its report, the cleaned corpus."""

from __future__ import annotations

import logging
import os

from datasets import Dataset

from finecl_hf.data.corpus import (
    iter_corpus,
)
from finecl_hf.denoising.arguments import DenoiseArguments
from finecl_hf.denoising.cleaning import clean_corpus
from finecl_hf.denoising.recorder import TABLE
from finecl_hf.denoising.report import write_report
from finecl_hf.encoding.features import instance_ids
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.facts import chunks_in, collect_facts
from finecl_hf.learning_order.noise_estimate import noise_of
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import unit_score
from finecl_hf.training.arguments import DataArguments, FineCLTrainingArguments
from finecl_hf.training.loading import SilverCorpus


logger = logging.getLogger(__name__)

# Arguments that fill themselves in where the user says nothing; afterwards nobody can tell whether they did.
REPORT = "report.html"


def write_denoising(order: LearningOrder, corpus: Dataset, names: dict[str, str], data: DataArguments,
                    args: DenoiseArguments) -> None:  # fmt: skip
    """Writes stage 1's table and `report.html`, says how many labels look wrong, and writes the cleaned corpus.

    Args:
        corpus: the documents that the order was made from; names: readable names of their relations.
    """
    print(order.summary())
    noise = noise_of(order)
    if noise is not None:
        print(f"{noise}\n{noise.table(names)}")
    trust = unit_score(args.score, order)
    table, report = (os.path.join(args.output_dir, name) for name in (TABLE, REPORT))
    order.write(table)  # with what is known since the last epoch was closed
    print(f"Wrote {table}")
    if args.report:
        write_report(order, trust, iter_corpus(corpus), report, names, noise, args.score)
        print(f"Wrote {report}")
    if args.write_clean:
        share, threshold = args.clean_share, args.clean_threshold
        if share is None and threshold is None:
            share = 1.0 - noise.overall.rate if noise is not None else 1.0
            if noise is None:
                logger.warning("Too few labels to estimate how many are wrong: all are kept; give a --clean_share.")
        counts = clean_corpus(
            data.train_source, args.write_clean, order, trust, threshold=threshold, share=share,
            split=data.train_split, skip_invalid=data.skip_invalid, same_corpus=True,
        )  # fmt: skip
        print(f"Wrote {args.write_clean}: {counts}")


def new_order(silver: SilverCorpus, data: DataArguments, args: FineCLTrainingArguments) -> LearningOrder:
    """A learning order without epochs: one row for each fact of the corpus."""
    with args.main_process_first(desc="collecting facts"):
        facts = collect_facts(silver.corpus, data.preprocessing_num_workers)
    return LearningOrder.from_chunks(chunks_in(facts))


def check_reach(silver: SilverCorpus) -> None:
    """Raises FineCLError where no label lies within the length that documents are cut to: nothing could be judged."""
    if not len(instance_ids(silver.features)):
        raise FineCLError(
            f"no label lies within {silver.max_length} tokens of its document, so none can be learned; raise "
            "--max_seq_length or shorten the documents."
        )
