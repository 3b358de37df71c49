"""`finecl-hf review export`: labels of a corpus as tasks for people."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from finecl_hf.data.documents import Document, Fact
from finecl_hf.data.files import refuse_overwriting, replacing
from finecl_hf.data.notes import counted
from finecl_hf.data.readers import local_files, valid_documents
from finecl_hf.data.relation_names import read_relation_names
from finecl_hf.errors import FineCLError
from finecl_hf.hashing import mix, text_key
from finecl_hf.learning_order.missing_labels import MissingLabel, read_missing
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import RECOMMENDED, unit_trust
from finecl_hf.learning_order.verdicts import NO_LABEL
from finecl_hf.review.sampling import RANDOM, SHUFFLE, WORST, Labels, Sample, choose
from finecl_hf.review.tasks import Task, task_of
from finecl_hf.review.tools import TOOLS, read_votes


logger = logging.getLogger(__name__)


def export_files(
    order_file: str | os.PathLike,
    source: str | os.PathLike,
    output: str | os.PathLike,
    tool: str,
    *,
    worst: int = 200,
    random: int = 50,
    strategy: str = "trust",
    score: str = RECOMMENDED,
    rel_info: str | None = None,
    seed: int = 0,
    missing: str | None = None,
    candidates: int = 100,
    **reading: Any,
) -> str:
    """Writes the tasks of a learning order and a corpus on disk.

    Args:
        tool: a name of `tools.TOOLS`. worst, random, strategy, seed: see [`choose`]. score: see [`unit_trust`].
        missing: stage 1's missing_labels.parquet, of which the best `candidates` are judged, too.
        reading: further arguments of [`valid_documents`].

    Returns:
        What was written, in words.

    Raises:
        FineCLError: an output is an input or holds verdicts, or the order belongs to another corpus.
    """
    paths = _paths(output, tool)
    for path in paths:
        inputs = [order_file, *local_files(source), rel_info, missing, reading.get("label_map")]
        refuse_overwriting(path, inputs)
    _refuse_filled_in(paths[0])
    order, names = LearningOrder.read(order_file), read_relation_names(rel_info)
    labels, relations = collect(valid_documents(source, **reading), order, unit_trust(score, order))
    if np.isnan(labels.trust).all() and not labels.judged.any():
        raise FineCLError(
            f"{source}: the learning order knows none of the {len(labels.key):,} labels, so it belongs to another "
            "corpus; name the documents that it was made from."
        )
    asked = _candidates(missing, candidates, order) if missing is not None else {}
    if asked and not (worst or random):
        sample = Sample(np.zeros(0, np.int64), [], {})
    else:
        sample = choose(labels, worst, random, strategy, seed)
    chosen = dict(zip(labels.key[sample.rows].tolist(), sample.strata, strict=True))
    new = np.setdiff1d(np.array(list(asked), np.int64), labels.key)  # some may be labels by now
    keys = np.concatenate([labels.key[sample.rows], new])
    shuffled = keys[np.argsort(mix(SHUFFLE, seed, keys), kind="stable")].tolist()
    chosen = {key: chosen.get(key, NO_LABEL) for key in shuffled}
    sizes = {**sample.sizes, NO_LABEL: len(asked)}
    tasks = tasks_of(valid_documents(source, **reading), chosen, sizes, names, asked.values())
    if not tasks:
        raise FineCLError(
            f"{missing}: none of the {len(asked):,} facts is open in {source}: its documents have other titles, or "
            "have them as labels by now; name the documents of that stage 1."
        )
    written = TOOLS[tool].write(
        tasks, {relation: names.get(relation, relation) for relation in relations | set(names)}
    )
    for path, text in zip(paths, written.values(), strict=True):
        with replacing(path) as file:
            file.write(text.encode(errors="backslashreplace"))
    told = f"Wrote {counted(len(tasks), 'task')} to {' and '.join(map(str, paths))}: {_parts(sample, len(tasks))}"
    if left_out := len(keys) - len(tasks):
        told += f" ({counted(left_out, 'fact')} of other documents left out)"
    if random and sample.sizes and not sample.sizes[RANDOM]:
        logger.warning(_none_at_random(sample.sizes[WORST] == len(labels.key)), random)
    return f"{told}."


def _parts(sample: Sample, tasks: int) -> str:
    """What the tasks are about, in words."""
    worst, random = (sample.strata.count(name) for name in (WORST, RANDOM))
    parts = [f"the {counted(worst, 'least trusted label')}"] if worst else []
    if random:
        parts.append(f"{random:,} at random" if worst else f"{counted(random, 'label')} at random")
    labels, candidates = " and ".join(parts), tasks - worst - random
    missing = counted(candidates, "fact that seems to be missing", "facts that seem to be missing")
    return ", and ".join(filter(None, [labels, missing if candidates else ""]))


def _none_at_random(is_whole_corpus: bool) -> str:
    if is_whole_corpus:  # shuffled: the first ones are a sample of all
        return (
            "No label is left for --random %d: the tasks are all labels of the corpus. The estimate of the noise "
            "holds if they are judged from the first on, or all of them; ask for fewer with --worst."
        )
    return "No label is left for --random %d, so no estimate of the noise will be possible; name a smaller --worst."


def _candidates(path: str, count: int, order: LearningOrder) -> dict[int, MissingLabel]:
    """By key, the best facts that seem to be missing and that nobody has judged.

    Raises:
        FineCLError: the count is below 1, or none is left.
    """
    if count < 1:
        raise FineCLError(f"--candidates {count} is out of range; ask for at least 1, or leave --missing away.")
    rows = read_missing(path)
    place = order.rows_of(np.array([row.key for row in rows], np.int64))
    judged = (place >= 0) & (order.verdict[np.maximum(place, 0)] != 0) if len(order) else np.zeros(len(rows), bool)
    left = [row for row, is_judged in zip(rows, judged, strict=True) if not is_judged][:count]
    if not left:
        raise FineCLError(f"{path}: none of the {len(rows):,} facts is left to be judged; leave --missing away.")
    return {row.key: row for row in left}


def collect(documents: Iterable[Document], order: LearningOrder, trust: np.ndarray) -> tuple[Labels, set[str]]:
    """The labels of a corpus as columns, and its relations.

    Args:
        trust: (N,) in the rows of the order.
    """
    rows: list[tuple[int, int, int, int]] = []
    relations: set[str] = set()
    for document in documents:
        for fact in document.relations:
            relations.add(fact.relation)
            names = (document.longest_name(entity).lower() for entity in (fact.head, fact.tail))
            triple = text_key("\0".join((fact.relation, *names)))
            rows.append((document.fact_key(fact), document.key, text_key(fact.relation), triple))
    if not rows:
        raise FineCLError("the documents have no labels to judge; name the labelled file.")
    columns = np.array(rows, np.int64).T
    place = order.rows_of(columns[0])
    known = place >= 0
    values, judged = np.full(len(rows), np.nan), np.zeros(len(rows), bool)
    values[known] = np.where(order.judged, trust, np.nan)[place[known]]
    judged[known] = order.verdict[place[known]] != 0
    return Labels(*columns, values, judged), relations


def tasks_of(
    documents: Iterable[Document],
    chosen: dict[int, str],
    sizes: dict[str, int],
    names: dict[str, str],
    missing: Iterable[MissingLabel] = (),
) -> list[Task]:
    """The tasks of what is chosen, in its order.

    Args:
        chosen: key of a fact -> its stratum; sizes: of the strata; names: readable names of relations.
        missing: facts that no label says, and that may be among the chosen.

    Raises:
        FineCLError: a missing fact is about other entities than the document has.
    """
    found: dict[int, Task] = {}
    missing_of: dict[str, list[MissingLabel]] = defaultdict(list)
    for row in missing:
        missing_of[row.title].append(row)
    for document in documents:
        new = [_fact_in(document, row) for row in missing_of.get(document.title, ())]
        for fact in [*document.relations, *new]:
            if (key := document.fact_key(fact)) in chosen:
                found[key] = task_of(document, fact, names, chosen[key], sizes[chosen[key]])
    return [found[key] for key in chosen if key in found]


def _fact_in(document: Document, row: MissingLabel) -> Fact:
    places = [(row.head, row.head_name), (row.tail, row.tail_name)]
    if any(not 0 <= at < len(document.entities) or name not in ("", document.longest_name(at)) for at, name in places):
        raise FineCLError(
            f"{row.instance_id}: the document has other entities than the missing labels were found in; name the "
            "documents of that stage 1."
        )
    return row.fact


def _paths(output: str | os.PathLike, tool: str) -> list[Path]:
    """The tasks' file, and the one beside it that tells the tool how to show them."""
    path = Path(output)
    suffix, *others = TOOLS[tool].SUFFIXES
    if path.suffix.lower() != suffix:
        raise FineCLError(f"{output}: tasks for {tool} need a name that ends in {suffix}.")
    return [path, *map(path.with_suffix, others)]


def _refuse_filled_in(path: Path) -> None:
    """Hours of a judge's work are not to be lost to a second export."""
    try:
        filled_in = len(read_votes(path)) if path.exists() else 0
    except FineCLError:
        filled_in = 0
    if filled_in:
        raise FineCLError(f"{path}: this file holds {filled_in:,} verdicts; import them first, or name another file.")
