"""`finecl-hf review import`: verdicts of people correct a corpus, enter the learning order, and tell its noise."""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from finecl_hf.data.documents import Document, Fact, means_no_relation, relation_of_id
from finecl_hf.data.files import check_writable, refuse_overwriting, replacing
from finecl_hf.data.notes import counted
from finecl_hf.data.readers import Record, local_files, valid_documents, valid_records, write_rows, written_extension
from finecl_hf.data.relation_names import read_relation_names
from finecl_hf.denoising.correcting import CorrectionCounts, corrected
from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.verdicts import NO_LABEL, OTHER, RIGHT, UNSURE, WRONG, Verdict, Verdicts, with_verdicts
from finecl_hf.review.estimate import MEANING, Estimate, Stratum, estimate, trust_precision, why_no_estimate
from finecl_hf.review.tools import read_votes
from finecl_hf.review.votes import Vote, decide, krippendorff_alpha


_NUMBER = re.compile(r"[0-9]{1,9}")  # of an entity


@dataclass
class Review:
    """What people said of a corpus.

    Attributes:
        verdicts: one a label; votes: how many there were; judges: how many people.
        alpha: Krippendorff's, see [`krippendorff_alpha`]; None where nobody shared a label.
        strata: what is judged of each part of the corpus.
        nameless: labels of which another relation holds and nobody said which.
        labels: of the whole corpus, judged or not.
        unplaced: votes from a tool's export that do not say what their label was drawn for.
    """

    verdicts: Verdicts
    votes: int
    judges: int
    alpha: float | None
    strata: dict[str, Stratum]
    nameless: int
    labels: int = 0
    unplaced: int = 0

    def counts(self, missing: bool) -> Counter[str]:
        """Verdicts of each kind: on labels, or on facts that no label says (`missing`)."""
        return Counter(row.verdict for row in self.verdicts.rows if (row.stratum == NO_LABEL) == missing)

    def _votes_on(self, missing: bool) -> int:
        return sum(row.judges for row in self.verdicts.rows if (row.stratum == NO_LABEL) == missing)

    @property
    def why_no_estimate(self) -> str:
        return why_no_estimate(self.strata, self.labels, self.unplaced)

    @property
    def estimate(self) -> Estimate | None:
        return None if self.why_no_estimate else estimate(self.strata.values())

    def __str__(self) -> str:
        labels, candidates = self.counts(missing=False), self.counts(missing=True)
        of_labels, of_candidates = (counted(self._votes_on(missing), "vote") for missing in (False, True))
        lines = [f"{counted(labels.total(), 'label')} judged: {_kinds(labels)} ({of_labels})."]
        if candidates:
            lines.append(
                f"{counted(candidates.total(), 'fact')} that seemed to be missing judged: {_kinds(candidates)} "
                f"({of_candidates})."
            )
        if self.nameless:
            lines.append(f"Of {self.nameless:,} nobody said which other relation holds: they are removed.")
        if self.judges > 1:
            told = "cannot be told: no two people judged one label, or all said the same of all"
            figure = told if self.alpha is None else f"Krippendorff's alpha {self.alpha:.2f} (1 full, 0 chance)"
            lines.append(f"Agreement of {self.judges:,} judges: {figure}.")
        if self.estimate is None:
            lines.append(f"The noise of the whole corpus cannot be estimated: {self.why_no_estimate}.")
        else:
            lines.append(f"About {self.estimate}. {MEANING}.")
            if others := self.labels - self.estimate.labels:
                lines.append(
                    f"The other {others:,} labels of the corpus were judged before, or none of their part is."
                )
        if precision := trust_precision(self.strata):
            lines.append(f"What the trust score finds: {precision}.")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        found = self.estimate
        return {
            "labels": dict(self.counts(False)),
            "missing": dict(self.counts(True)),
            "votes": self.votes,
            "judges": self.judges,
            "krippendorff_alpha": self.alpha,
            "strata": {name: vars(stratum) for name, stratum in self.strata.items()},
            "noise": None if found is None else vars(found),
            "no_estimate_because": self.why_no_estimate,
        }


def import_files(
    verdicts_file: str | os.PathLike,
    source: str | os.PathLike,
    output: str | os.PathLike,
    *,
    verdicts: str | None = None,
    order: str | None = None,
    order_output: str | None = None,
    report: str | None = None,
    rel_info: str | None = None,
    skip_unknown: bool = False,
    **reading: Any,
) -> tuple[Review, CorrectionCounts]:
    """Reads what people said of a corpus, and writes the corrected corpus and what else is named.

    Args:
        verdicts, order_output, report: files to write: the table of verdicts, the learning order `order` with them,
            and all figures as JSON.
        skip_unknown: pass over verdicts of labels that the corpus has not.
        reading: further arguments of [`valid_records`].

    Raises:
        FineCLError: the verdicts do not fit the corpus or contradict each other, or an output is an input.
    """
    if (order is None) != (order_output is None):
        raise FineCLError(
            "--order and --order_output go together; name the learning order, and where to write the new."
        )
    written_extension(output)
    for flag, path, suffixes in (("--verdicts", verdicts, (".parquet",)),
                                 ("--order_output", order_output, (".parquet", ".json"))):  # fmt: skip
        if path is not None and not path.endswith(suffixes):
            raise FineCLError(f"{flag} {path}: the name must end in {' or '.join(suffixes)}.")
    outputs = [path for path in (output, verdicts, order_output, report) if path is not None]
    for path in outputs:
        check_writable(Path(path), "the output")
        refuse_overwriting(path, [verdicts_file, *local_files(source), order, rel_info, reading.get("label_map")])
    if len({Path(path).resolve() for path in outputs}) < len(outputs):
        raise FineCLError("two of the files to write have one name; give each its own.")
    votes, names = read_votes(verdicts_file), read_relation_names(rel_info)
    if not votes:
        raise FineCLError(f"{verdicts_file}: nothing is judged yet; fill in verdicts and import the file again.")
    known = None if order is None else LearningOrder.read(order)
    review = review_of(votes, valid_documents(source, **reading), names, str(verdicts_file), skip_unknown)
    if known is not None:
        _check_order(known, review.verdicts, order)
    counts = CorrectionCounts()
    records = corrected(valid_records(source, quiet=True, **reading), review.verdicts, counts)
    write_rows(_rows(records, counts, written_extension(output) == ".parquet"), output)
    if verdicts is not None:
        review.verdicts.write(verdicts)
    if known is not None and order_output is not None:
        with_verdicts(known, review.verdicts).write(order_output)
    if report is not None:
        with replacing(Path(report)) as file:
            file.write(json.dumps(review.as_json() | {"corpus": vars(counts)}, indent=1).encode())
    return review, counts


def _check_order(order: LearningOrder, verdicts: Verdicts, path: str | os.PathLike) -> None:
    """Raises FineCLError where a learning order knows none of the labels that were judged."""
    keys = np.array([text_key(row.instance_id) for row in verdicts.rows if row.stratum != NO_LABEL], np.int64)
    if len(keys) and (order.rows_of(keys) < 0).all():
        raise FineCLError(
            f"--order {path}: it knows none of the {len(keys):,} labels that were judged, so it belongs to "
            "another corpus; name the one that they were exported from."
        )


def _kinds(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[kind]:,} {kind}" for kind in (RIGHT, WRONG, OTHER, UNSURE))


def _rows(records: Iterable[Record], counts: CorrectionCounts, is_table: bool) -> Iterator[dict[str, Any]]:
    for record in records:
        yield record.item.to_dict() if is_table else record.raw
    if counts.labels == counts.removed and not counts.added:
        raise FineCLError("the verdicts leave no label in the corpus, so that nothing is written; judge more of them.")


def review_of(
    votes: list[Vote],
    documents: Iterable[Document],
    names: dict[str, str],
    source: str = "the verdicts",
    skip_unknown: bool = False,
) -> Review:
    """One verdict for each label that somebody judged.

    Args:
        names: readable names of relations; source: of the votes, for messages.
        skip_unknown: pass over verdicts of labels that the documents have not.

    Raises:
        FineCLError: a label or a relation is unknown, or somebody contradicts himself.
    """
    labels, relations, total = _labels(documents, {_key(vote) for vote in votes}, _unlabelled(votes))
    known = [vote for vote in votes if _key(vote) in labels]
    if not known or len(known) < len(votes) and not skip_unknown:
        unknown = [vote for vote in votes if _key(vote) not in labels]
        raise FineCLError(
            f"{source}: {len(unknown):,} of {len(votes):,} verdicts are about labels that the corpus has not, first "
            f'"{unknown[0].instance_id[:80]}" ({unknown[0].where}); name the corpus that was exported'
            + ("" if unknown[0].stratum else ", with the tasks' own columns: sample tells missing facts from labels")
            + (", or pass --skip_unknown." if known else ".")
        )
    votes_of = _by_label(_with_relation_ids(known, relations | set(names), names, labels, source), source)
    rows, nameless = [], 0
    for key, of_label in votes_of.items():
        document, fact = labels[key]
        verdict, right = decide([(vote.verdict, vote.right_relation) for vote in of_label])
        nameless += verdict == OTHER and not right and of_label[0].stratum != NO_LABEL
        place = (document[0], fact.head, fact.tail, fact.relation)
        rows.append(Verdict(document[1], *place, verdict, right, len(of_label), of_label[0].stratum))
    alpha = krippendorff_alpha([vote.verdict for vote in of_label] for of_label in votes_of.values())
    judges = {vote.judge for vote in known}
    unplaced = sum(not vote.stratum and vote.key is None for vote in known)  # a report's page has keys, and no sample
    strata = _strata(votes_of, rows)
    return Review(Verdicts(rows), len(known), len(judges), alpha, strata, nameless, total, unplaced)


def _key(vote: Vote) -> int:
    return text_key(vote.instance_id) if vote.key is None else vote.key


def _unlabelled(votes: list[Vote]) -> dict[str, list[Fact]]:
    """Title -> facts that are judged and that no label says, as far as their ids name any."""
    facts: dict[str, list[Fact]] = defaultdict(list)
    for vote in votes:
        title, *place = vote.instance_id.rsplit("#", 3)
        if vote.stratum != NO_LABEL or len(place) < 3 or not all(map(_NUMBER.fullmatch, place[:2])):
            continue
        fact = Fact(int(place[0]), int(place[1]), relation_of_id(vote.instance_id))
        if fact.head != fact.tail and not means_no_relation(fact.relation):
            facts[title].append(fact)
    return facts


def _labels(
    documents: Iterable[Document], keys: set[int], unlabelled: dict[str, list[Fact]]
) -> tuple[dict[int, tuple[tuple[str, str], Fact]], set[str], int]:
    """Key -> ((title, instance id), fact) of what is judged; all relations of the corpus; its labels' number."""
    labels: dict[int, tuple[tuple[str, str], Fact]] = {}
    relations: set[str] = set()
    total = 0
    for document in documents:
        total += len(document.relations)
        relations.update(fact.relation for fact in document.relations)
        size, others = len(document.entities), unlabelled.get(document.title, ())
        others = [fact for fact in others if max(fact.head, fact.tail) < size]
        for fact in [*document.relations, *others]:
            if (key := document.fact_key(fact)) in keys:
                labels[key] = (document.title, document.instance_id(fact)), fact
    return labels, relations, total


def _with_relation_ids(
    votes: list[Vote], relations: set[str], names: dict[str, str], labels: dict[int, Any], source: str
) -> list[Vote]:
    """Votes whose right relations are ids. "Other" without a relation that differs from the label's is "wrong".

    Raises:
        FineCLError: a relation is unknown, or a label is right while another relation is said to hold.
    """
    spelled: dict[str, str | None] = {}
    for relation in relations:
        for spelling in {relation, names.get(relation, relation), f"{relation}: {names.get(relation, relation)}"}:
            # of two relations with one name, neither is meant for certain
            spelled[spelling.casefold()] = None if spelled.get(spelling.casefold(), relation) != relation else relation
    fixed, unknown, contradictory = [], [], []
    for vote in votes:
        given, label = vote.right_relation, labels[_key(vote)][1].relation
        right = given if given in relations else spelled.get(given.casefold()) or _id_in_choice(given, relations)
        if vote.stratum == NO_LABEL and label not in relations:
            unknown.append(replace(vote, right_relation=label))
        elif given and vote.verdict == OTHER and right is None and not means_no_relation(given):
            unknown.append(vote)
        elif right is not None and (
            vote.verdict == RIGHT and right != label or vote.verdict == OTHER and right == label
        ):
            contradictory.append(vote)
        elif vote.verdict == OTHER and given and means_no_relation(given):
            fixed.append(replace(vote, verdict=WRONG, right_relation=""))
        else:
            fixed.append(replace(vote, right_relation=(right or "") if vote.verdict == OTHER else ""))
    if unknown:
        named = counted(len(unknown), "verdict names", "verdicts name")
        remedy = "write ids or names of relations as they stand there"
        raise FineCLError(
            f"{source}: {named} a relation that neither the corpus nor --rel_info has, first "
            f'"{unknown[0].right_relation[:60]}" ({unknown[0].where}); '
            + (f"{remedy}." if names else f"pass the --rel_info that the export was made with, or {remedy}.")
        )
    if contradictory:
        told = counted(len(contradictory), "verdict contradicts itself, as it calls",
                       "verdicts contradict themselves, as they call")  # fmt: skip
        raise FineCLError(
            f"{source}: {told} a label right and another relation the one that holds, or the label's own the other "
            f"one ({contradictory[0].where} is the first); correct one of the two."
        )
    return fixed


def _id_in_choice(given: str, relations: set[str]) -> str | None:
    """The relation of a choice `id: name`, whatever its name was when the tasks were exported."""
    parts = given.split(": ")
    starts = (": ".join(parts[:end]) for end in range(len(parts) - 1, 0, -1))  # ids may have colons, too
    return next((start for start in starts if start in relations), None)


def _by_label(votes: list[Vote], source: str) -> dict[int, list[Vote]]:
    """The votes on each label, one a person.

    Raises:
        FineCLError: a person says two things of one label.
    """
    of_label: dict[int, dict[str, Vote]] = defaultdict(dict)
    contradictory = []
    for vote in votes:
        before = of_label[_key(vote)].setdefault(vote.judge, vote)
        if (before.verdict, before.right_relation) != (vote.verdict, vote.right_relation):
            contradictory.append((before, vote))
    if contradictory:
        before, vote = contradictory[0]
        raise FineCLError(
            f"{source}: {counted(len(contradictory), 'verdict contradicts', 'verdicts contradict')} an earlier one on "
            "the same label, first "
            f"{vote.where} ({vote.verdict}) and {before.where} ({before.verdict}); keep one of each two."
        )
    return {key: list(votes.values()) for key, votes in of_label.items()}


def _strata(votes_of: dict[int, list[Vote]], rows: list[Verdict]) -> dict[str, Stratum]:
    """Each stratum that has a name and a size, whether any of it is judged or not."""
    sizes: dict[str, int] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for votes, row in zip(votes_of.values(), rows, strict=True):
        if row.stratum != NO_LABEL and row.stratum and votes[0].stratum_size:
            sizes[row.stratum] = max(sizes.get(row.stratum, 0), votes[0].stratum_size)
            counts[row.stratum, {RIGHT: RIGHT, UNSURE: UNSURE}.get(row.verdict, WRONG)] += 1
    return {
        name: Stratum(size, counts[name, RIGHT] + counts[name, WRONG], counts[name, WRONG], counts[name, UNSURE])
        for name, size in sizes.items()
    }
