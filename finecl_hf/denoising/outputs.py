"""What stage 1 begins with and leaves: the table, its report, the cleaned corpus."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence

from datasets import Dataset

from finecl_hf.data.corpus import iter_corpus
from finecl_hf.data.readers import Record, valid_records
from finecl_hf.denoising.arguments import DenoiseArguments
from finecl_hf.denoising.cleaning import clean_corpus
from finecl_hf.denoising.correcting import corrected
from finecl_hf.denoising.probe import FEWEST
from finecl_hf.denoising.recorder import TABLE
from finecl_hf.denoising.report import Report
from finecl_hf.encoding.feature_table import fact_keys
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.facts import chunks_in, collect_facts
from finecl_hf.learning_order.missing_labels import MISSING, MissingLabel, write_missing
from finecl_hf.learning_order.noise_estimate import NoiseEstimate, noise_of
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import unit_trust
from finecl_hf.learning_order.verdicts import Verdicts, with_verdicts
from finecl_hf.training.arguments import DataArguments, FineCLTrainingArguments
from finecl_hf.training.loading import SilverCorpus


logger = logging.getLogger(__name__)

REPORT = "report.html"


def write_denoising(order: LearningOrder, corpus: Dataset, names: dict[str, str], data: DataArguments,
                    args: DenoiseArguments, verdicts: Verdicts | None = None,
                    missing: Sequence[MissingLabel] | None = None) -> None:  # fmt: skip
    """Writes stage 1's table and `report.html`, says how many labels look wrong, and writes the cleaned corpus.

    Args:
        corpus: the documents that the order was made from; names: readable names of their relations.
        verdicts: by which the corpus was corrected before.
        missing: facts that seem to lack a label, best first; None where nobody looked for them.
    """
    if order.self_test is not None:
        print(order.self_test)
    elif args.probe_share:
        print(f"No self-test: of --probe_share {args.probe_share:g}, fewer than {FEWEST} labels came to be wrong on "
              "purpose, which tell too little.")  # fmt: skip
    print(order.summary())
    noise = noise_of(order)
    if noise is not None:
        print(noise if noise.doubt else f"{noise}\n{noise.table(names)}")
    table, page = (os.path.join(args.output_dir, name) for name in (TABLE, REPORT))
    order.write(table)  # with what is known since the last epoch was closed
    print(f"Wrote {table}")
    if missing is not None:
        write_missing(missing, path := os.path.join(args.output_dir, MISSING))
        print(f"Wrote {path}")
    trust = unit_trust(args.score, order)
    options = {"same_corpus": True, "missing": missing or ()}
    report = Report(order, trust, names, noise, args.score, **options) if args.report else None
    if args.write_clean:
        records = valid_records(
            data.train_source, split=data.train_split, skip_invalid=data.skip_invalid, quiet=True,
            columns=data.columns, label_map=data.label_map,
        )  # fmt: skip
        if verdicts is not None:  # the order speaks of the labels that were trained on
            records = corrected(records, verdicts)
        if report is not None:  # one pass over the source serves both
            records = _shown_to(report, records)
        counts = clean_corpus(
            records, args.write_clean, order, trust, **_choice(args, noise), source=data.train_source,
            same_corpus=True, own=order.key[order.verdict >= 0],  # those judged wrong are rows, but labels no more
        )  # fmt: skip
        print(f"Wrote {args.write_clean}: {counts}")
    elif report is not None:
        for document in iter_corpus(corpus):
            report.see(document)
    if report is not None:
        report.write(page)
        print(f"Wrote {page}")


def _choice(args: DenoiseArguments, noise: NoiseEstimate | None) -> dict[str, float | None]:
    """Which labels the cleaned corpus keeps: as many as the noise estimate calls right, where nobody says."""
    share = args.clean_share
    if share is None and args.clean_threshold is None:
        share = 1.0 - noise.overall.rate if noise is not None else 1.0
        if noise is None:
            logger.warning("Too few labels to estimate how many are wrong: all are kept; give a --clean_share.")
        elif noise.doubt:
            logger.warning(
                "How many labels are wrong is not known. The cleaned corpus keeps the %.0f%% above where the scores "
                "divide best; give a --clean_share to keep another part.", 100 * share,
            )  # fmt: skip
    return {"share": share, "threshold": args.clean_threshold}


def _shown_to(report: Report, records: Iterable[Record]) -> Iterator[Record]:
    for record in records:
        report.see(record.item)
        yield record


def new_order(
    silver: SilverCorpus, data: DataArguments, args: FineCLTrainingArguments, verdicts: Verdicts | None = None
) -> LearningOrder:
    """A learning order without epochs: one row for each fact of the corpus, and for each label judged wrong."""
    with args.main_process_first(desc="collecting facts"):
        facts = collect_facts(silver.corpus, data.preprocessing_num_workers)
    order = LearningOrder.from_chunks(chunks_in(facts))
    return order if verdicts is None else with_verdicts(order, verdicts)


def check_reach(silver: SilverCorpus) -> None:
    """Raises FineCLError where no label lies within the length that documents are cut to: nothing could be judged."""
    if not len(fact_keys(silver.features)):
        raise FineCLError(
            f"no label lies within {silver.encoder.max_length} tokens of its document, so none can be learned; raise "
            "--max_seq_length or shorten the documents."
        )
