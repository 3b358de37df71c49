"""Stage 2 without a cache on disk: documents are read, tokenised and weighted a block at a time.

A pass goes through all shards, in an order drawn by its number. Within a block, batches are made as those of a corpus
on disk: where one block holds the corpus, a streamed run takes the very same batches. Nothing is drawn from a random
state, so a resumed run sees what the interrupted one would have seen; what lies before its first batch is read, not
tokenised.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset
from torch.utils.data import Dataset as TorchDataset

from finecl_hf.data.corpus import check_document
from finecl_hf.data.documents import Document, gc_paused
from finecl_hf.data.held_out import HeldOutPairs
from finecl_hf.data.label_map import LabelMap
from finecl_hf.data.notes import Notes
from finecl_hf.data.problems import Titles
from finecl_hf.data.readers import files_of, iter_documents, local_files
from finecl_hf.data.relation_names import read_relation_names
from finecl_hf.encoding.batches import SharedEpoch
from finecl_hf.encoding.feature_table import COLUMNS, fact_keys, with_fact_column
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.hashing import mix, text_key
from finecl_hf.learning_order.weights import Coverage, FactWeights
from finecl_hf.pretraining.arguments import PretrainArguments
from finecl_hf.pretraining.fact_weights import check_coverage, read_weights, usable_facts
from finecl_hf.pretraining.sampling import PartnerBatchSampler, documents_per_step
from finecl_hf.training.arguments import DataArguments, ModelArguments, sampling_seed
from finecl_hf.training.loading import held_out_pairs, label_set, load_encoder


logger = logging.getLogger(__name__)

SHARD = 50  # keeps this draw apart from others made of the same keys


class StreamError(FineCLError):
    """What is wrong with a streamed document: torch puts the traceback of a worker before the sentence."""

    def __init__(self, message: str):
        super().__init__(re.sub(r"(?s)^Caught StreamError .*StreamError: ", "", message).strip())


class StreamBatches:
    """Names the rows of each batch of a [`Stream`]: (number of the batch, row in it). Skipping some costs nothing.

    Args:
        count: batches; batch_size: rows in each, of all processes together.
    """

    drop_last = False

    def __init__(self, count: int, batch_size: int):
        self.count, self.batch_size = count, batch_size

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for number in range(self.count):
            yield [(number, row) for row in range(self.batch_size)]


class Stream(TorchDataset):
    """Documents as numbered batches without an end; they are asked for in ascending order.

    In memory are the features of one block and as much as was taken of it of the next one, the documents of one batch,
    and the weights. A pass begins with the shards in an order of its own (two passes share one, since a
    [`PartnerBatchSampler`] makes every document an anchor once in two epochs). Its last block takes in what would not
    fill a batch.

    A `datasets.IterableDataset` gives neither batches of partners nor, after the first pass, a resumed run the
    documents that the interrupted one would have seen.

    Args:
        files: the shards; the names of their folders have no influence on their order.
        encoder: of documents; a label whose relation it does not know is an error.
        weights: of the labels.
        batch_size: documents in a batch, of all processes together.
        block: documents in a block, rounded up to batches.
        check: is told how the learning order fits the labels of the first block.
        seed: of the draws.
        pair_documents: batch each document with one that holds the same relation.
        skip_invalid: leave invalid documents out, and count them.
        held_out: facts about these entity pairs leave the documents.
        identity: what else must be the same where a run goes on.
        reading: further arguments of `readers.iter_documents`: `columns` and `label_map`.
    """

    def __init__(
        self,
        files: list[Path],
        encoder: DocumentEncoder,
        weights: FactWeights,
        batch_size: int,
        block: int,
        check: Callable[[Coverage], None] = lambda coverage: None,
        seed: int = 0,
        pair_documents: bool = True,
        skip_invalid: bool = False,
        held_out: HeldOutPairs | None = None,
        identity: str = "",
        reading: Mapping[str, Any] | None = None,
    ):
        self.files = sorted(files, key=lambda file: (file.name, str(file)))
        self.encoder, self.weights, self.check = encoder, weights, check
        self.batch_size, self.groups_a_block = batch_size, -(-block // batch_size)
        self.seed, self.pair_documents, self.skip_invalid = seed, pair_documents, skip_invalid
        self.held_out, self.identity, self.reading = held_out, identity, dict(reading or {})
        self.epoch = SharedEpoch()
        self._restart()

    def batches(self, count: int, epoch: SharedEpoch) -> StreamBatches:
        """Names of the first batches.

        Args:
            epoch: is set to the pass of a batch whenever rows of it are fetched, for the collator.
        """
        self.epoch = epoch
        return StreamBatches(count, self.batch_size)

    def __getitems__(self, places: list[tuple[int, int]]) -> list[dict[str, Any]]:
        """Rows, as the collators want them, of one batch: (number of the batch, row in it) of each.

        Raises:
            StreamError: a document on the way there is invalid, or the learning order belongs to another corpus.
        """
        number = places[0][0]
        if number < self._first:
            self._restart()
        try:
            with gc_paused():
                while number >= self._first + len(self._batches):
                    self._open_block(number)
                self._read_ahead(number - self._first)
        except FineCLError as error:
            raise StreamError(str(error)) from error
        self.epoch.set(self._pass)
        batch = self._batches[number - self._first]
        return self._rows.__getitems__([batch[row] for _, row in places])

    def describe(self) -> dict[str, str]:
        """What must be the same where a run goes on, see `checkpoints.describe_run`."""
        return {
            "the streamed files": _digest(_states(self.files)),
            "the weights of the labels": self.weights.digest(),
            "how documents are read and tokenised": self.identity,
        }

    def _restart(self) -> None:
        self._pass, self._groups, self._ahead = -1, iter(()), []
        self._first, self._batches, self._rows = 0, [], None
        self._counts: Counter[str] = Counter()

    def _open_block(self, number: int) -> None:
        """Goes on to the next block; tokenises it unless all of its batches come before a given one."""
        first = self._first + len(self._batches)
        needed = number <= first + self.groups_a_block  # it may have one batch more than groups
        tables, self._ahead = self._ahead, []
        count = sum(map(len, tables))
        for group in islice(self._groups, self.groups_a_block - len(tables)):
            count += len(group)
            if needed:
                tables.append(self._table(group))
        if not count:
            self._begin_pass()
            return
        self._first, self._rows, self._batches = first, None, range(-(-count // self.batch_size))
        if needed:
            self._fill_block(pa.concat_tables(tables).combine_chunks())
        else:
            self._counts["skipped"] += 1

    def _read_ahead(self, batch: int) -> None:
        """Tokenises as much of the next block of the pass as was taken of this one, so that nobody waits for all of it
        at once."""
        for group in islice(self._groups, max(0, min(batch + 1, self.groups_a_block) - len(self._ahead))):
            self._ahead.append(self._table(group))

    def _table(self, group: list[Document]) -> pa.Table:
        return pa.Table.from_pydict(self.encoder.encode(group), schema=COLUMNS.arrow_schema)

    def _begin_pass(self) -> None:
        if self._pass >= 0:
            self._log_pass()
        self._counts.clear()
        self._pass += 1
        self._groups = self._read(self._pass)

    def _fill_block(self, table: pa.Table) -> None:
        table = table.take(pa.array(np.argsort(np.asarray(table["key"]), kind="stable")))
        features = Dataset(table)
        weights, coverage = self.weights.of(fact_keys(features))
        if self._first == 0:
            self.check(coverage)
        self._counts.update(labels=len(weights), known=coverage.known, used=int((~np.isnan(weights)).sum()))
        features = with_fact_column(features, "weight", weights)
        nothing = np.empty(0, np.int64)
        epoch = SharedEpoch()
        epoch.set(self._pass)
        self._batches = list(
            PartnerBatchSampler(
                *(usable_facts(features) if self.pair_documents else (nothing, nothing)),
                num_documents=len(features),
                batch_size=self.batch_size,
                seed=self.seed,
                epoch=epoch,
            )
        )
        self._rows = features.with_format("numpy")

    def _read(self, number: int) -> Iterator[list[Document]]:
        """The documents of a pass in groups of a batch; the last one takes in what is left."""
        held, group = None, []
        for document in self._documents(number):
            group.append(document)
            if len(group) == self.batch_size:
                if held is not None:
                    yield held
                held, group = group, []
        if held is None:
            raise FineCLError(
                f"{self.files[0]}{' and other files' if len(self.files) > 1 else ''}: {len(group):,} documents do not "
                f"fill a batch of {self.batch_size:,}; leave --streaming away, or take smaller batches."
            )
        yield held + group

    def _documents(self, number: int) -> Iterator[Document]:
        """The valid documents of a pass. Titles must be unique among the last ones, as many as a block has."""
        names = np.array([text_key(file.name) for file in self.files])
        titles = Titles(window=self.groups_a_block * self.batch_size)
        notes = Notes()
        for place in np.argsort(mix(SHARD, self.seed, number // 2, names), kind="stable"):
            file = self.files[place]
            for index, item in enumerate(iter_documents(file, titles=titles, notes=notes, **self.reading)):
                if isinstance(item, DocumentError):
                    self._refuse(item)
                    continue
                check_document(item, self.encoder.label2id, "document", str(file), index)
                kept, removed = self.held_out.strip(item) if self.held_out is not None else (item, 0)
                self._counts.update(documents=kept is not None, held_out=removed)
                if kept is not None:
                    yield kept
        if number == 0 and (said := str(notes)):
            logger.warning("Left out or chosen in each pass: %s.", said)

    def _refuse(self, problem: DocumentError) -> None:
        """A stream has no end at which all problems could be counted: the first stops it, or is the only one told."""
        if not self.skip_invalid:
            raise problem
        if not self._counts["invalid"] and self._pass == 0:
            logger.warning("%s It is left out, as are all invalid documents that follow.", problem)
        self._counts["invalid"] += 1

    def _log_pass(self) -> None:
        counts = self._counts
        text = f"Pass {self._pass + 1} read {counts['documents']:,} documents"
        if counts["invalid"]:
            text += f" and left out {counts['invalid']:,} invalid ones"
        if counts["held_out"]:
            text += f"; {counts['held_out']:,} facts about held-out entity pairs left them"
        if not counts["skipped"]:  # after resuming in the middle of it, nobody has looked at all labels
            text += f"; {counts['used']:,} of {counts['labels']:,} labels take part"
            if len(self.weights.key):
                text += f", and the learning order knows {counts['known']:,}"
        logger.info("%s.", text)


@dataclass
class StreamedCorpus:
    """What stage 2 trains on.

    Attributes:
        names: readable relation names.
        encoder: of documents, with the label set.
        stream: the documents.
    """

    names: dict[str, str]
    encoder: DocumentEncoder
    stream: Stream


def open_stream(model: ModelArguments, data: DataArguments, args: PretrainArguments) -> StreamedCorpus:
    """Opens the training documents; reads none of them yet.

    Raises:
        FineCLError: an argument is missing that a stream needs, or there is one that it cannot do.
    """
    _check_arguments(data, args)
    names = read_relation_names(data.rel_info)
    encoder = load_encoder(model, label_set(dict.fromkeys(names, 0), names, fixed=True))
    with args.main_process_first(desc="finding the training documents"):
        files = [path for _, path in files_of(data.train_source, data.train_split)]
        held_out = held_out_pairs(data)
    excluded = _states(local_files(data.exclude_file)) if data.exclude_file else []
    label_map = None if data.label_map is None else LabelMap.read(data.label_map)
    reading = {"columns": data.columns, "label_map": label_map}
    told = (data.columns, label_map and label_map.to_dict()) if data.columns or label_map else ()
    vocabulary = sorted(encoder.tokenizer.get_vocab().items())
    settings = (encoder.label2id, encoder.max_length, encoder.entity_markers, encoder.hide_names)
    stream = Stream(
        files,
        encoder,
        read_weights(args),
        batch_size=documents_per_step(args),
        block=args.streaming_block,
        check=partial(check_coverage, args=args),
        seed=sampling_seed(args),
        pair_documents=args.pair_documents,
        skip_invalid=data.skip_invalid,
        held_out=held_out,
        identity=_digest((settings, vocabulary, excluded, data.skip_invalid, *told)),
        reading=reading,
    )
    return StreamedCorpus(names, encoder, stream)


def _check_arguments(data: DataArguments, args: PretrainArguments) -> None:
    if data.rel_info is None:
        raise FineCLError(
            "--streaming true needs --rel_info: nobody counts the relations beforehand; name a JSON file of relation "
            "id -> readable name."
        )
    if args.max_steps <= 0:
        raise FineCLError(
            f"--streaming true needs --max_steps, not {args.max_steps}: a stream has no end; give the steps to train."
        )
    if args.dataloader_num_workers > 1:
        raise FineCLError(
            f"--dataloader_num_workers {args.dataloader_num_workers} does not go with --streaming true, since each "
            "worker would read all documents; give 1 or 0."
        )
    if data.max_train_samples is not None:
        raise FineCLError("--max_train_samples does not go with --streaming true; name fewer shards in --train_file.")


def _states(files: list[Path]) -> list[tuple[str, int, int]]:
    """Name, size and time of change of each file."""
    return [(file.name, (state := os.stat(file)).st_size, state.st_mtime_ns) for file in files]


def _digest(value: Any) -> str:
    return blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
