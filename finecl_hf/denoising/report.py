"""The denoising report: one page on which a person sees what stage 1 found, and judges the least trusted labels.

`report.html` is whole in itself: no other file, no network; its one script keeps verdicts (judging.js). `report.md`
says the same without the charts.
Shapes: N labels (the rows of the learning order), E epochs.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from finecl_hf import __version__
from finecl_hf.cards.markdown import FILTERS, text
from finecl_hf.cards.templates import templates_in
from finecl_hf.data.documents import Document, Fact, relation_of_id
from finecl_hf.data.files import refuse_overwriting, replacing
from finecl_hf.data.readers import local_files, valid_documents
from finecl_hf.data.relation_names import read_relation_names
from finecl_hf.denoising.charts import data_map, learned_chart, trust_chart
from finecl_hf.denoising.excerpts import Piece, excerpt, marked_stretches
from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order.missing_labels import MissingLabel, read_missing
from finecl_hf.learning_order.noise_estimate import HARDLY_LEARNED, NoiseEstimate, noise_of
from finecl_hf.learning_order.self_test import SelfTest
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import RECOMMENDED, unit_trust
from finecl_hf.learning_order.verdicts import verdict_counts
from finecl_hf.learning_order.weights import Coverage


REPORT_TITLES = ("Which labels can be trusted?", "# Denoising report")
PER_RELATION = 5  # of the least trusted labels, so that one bad relation does not fill the list
CANDIDATES = 30  # facts that seem to lack a label
EARLY = 12  # labels learned early that the last epoch contradicts
SHOWN_RELATIONS = 40  # before the reader has to unfold the rest
PRIOR = 5  # labels of average trust that each relation is thought to have besides its own


@dataclass
class Shown:
    """A fact that is shown with the text that may say it."""

    relation: str
    head: str
    head_type: str
    tail: str
    tail_type: str
    title: str
    pieces: list[Piece]
    key: str
    instance_id: str

    @property
    def markdown(self) -> list[tuple[str, bool]]:
        return marked_stretches(self.pieces)


@dataclass
class Case(Shown):
    """A label for a person to judge."""

    trust: float
    learned: str
    probability: list[float]  # in each epoch that saw the label
    correct: list[bool]
    is_clean: bool | None


@dataclass
class Candidate(Shown):
    """A fact that seems to lack a label; `signs` say how much the text, the types and other labels speak for it."""

    signs: MissingLabel


@dataclass
class RelationRow:
    """One relation of the table. `noise` is its `RelationNoise`, if it was estimated."""

    name: str
    id: str
    labels: int
    trust: float
    never: float
    noise: Any = None
    clean: float | None = None


class Report:
    """What the page shows; its templates read the attributes and properties of a report.

    First [`see`] every document of the corpus, then [`write`].

    Args:
        order: N labels. Those that stage 1 never judged, past the length it was given, are counted and left out.
        trust: (N,) float in [0, 1], higher for a more trustworthy label.
        relation_names: relation id -> readable name.
        noise: estimated share of wrong labels, overall and for each relation.
        score_name: what the trust is called.
        worst: how many of the least trusted labels to show.
        is_clean: (N,) bool, whether each label is right, where that is known.
        same_corpus: the order was made from these documents: labels that it lacks were left out on purpose.
        missing: facts that seem to lack a label, best first, of which some are shown.

    Raises:
        FineCLError: the order is empty, the trust does not fit it, or nothing would be shown.
    """

    version = __version__
    per_relation, shown_relations = PER_RELATION, SHOWN_RELATIONS

    def __init__(
        self,
        order: LearningOrder,
        trust: np.ndarray,
        relation_names: Mapping[str, str] | None = None,
        noise: NoiseEstimate | None = None,
        score_name: str = "trust",
        worst: int = 50,
        is_clean: np.ndarray | None = None,
        same_corpus: bool = False,
        missing: Sequence[MissingLabel] = (),
    ):
        if worst < 1:
            raise FineCLError(f"{worst} labels cannot be shown; ask for at least 1.")
        trust = _checked_trust(trust, order)
        judged = order.judged
        if not judged.any():
            raise FineCLError(
                "stage 1 has judged none of the labels: they lie past the length it was given, or "
                "had no turn before the training ended."
            )
        self.whole, self.order, self.trust = order, order.select(judged), trust[judged]
        self.is_clean = None if is_clean is None else np.asarray(is_clean)[judged]
        self.relation_names, self.noise, self.score_name = relation_names or {}, noise, score_name
        self._codes, self._relations = _relations_of(self.order)
        self._worst = _least_trusted(self.order, self.trust, self._codes, worst).tolist()
        self._early = _contradicted(self.order, self._worst).tolist()
        self._cases: dict[int, Case | None] = dict.fromkeys([*self._worst, *self._early])
        self._missing = _some_of(missing)
        self._candidates: dict[int, Candidate | None] = dict.fromkeys(row.key for row in self._missing)
        self._same_corpus, self._found, self._unknown = same_corpus, 0, 0

    def see(self, document: Document) -> None:
        """Looks for labels that are to be shown; only excerpts of those stay in memory."""
        keys = [document.fact_key(fact) for fact in document.relations]
        known = self.whole.rows_of(keys) >= 0
        self._found += int(known.sum())
        self._unknown += 0 if self._same_corpus else int((~known).sum())
        for fact, row in zip(document.relations, self.order.rows_of(keys).tolist(), strict=True):
            if row in self._cases:
                self._cases[row] = self._case(document, fact, row)
        for label in self._missing:
            if label.title == document.title:
                self._candidates[label.key] = Candidate(**self._shown(document, label.fact), signs=label)

    def write(self, path: str | os.PathLike) -> None:
        """Writes the page, and next to it the same as Markdown; each whole or not at all."""
        path = Path(path)
        for target, page in zip((path, path.with_suffix(".md")), render(self), strict=True):
            with replacing(target) as file:
                file.write(page.encode())

    @property
    def coverage(self) -> Coverage:
        """How the learning order fits the labels of the documents that were seen."""
        return Coverage(self._found, self._unknown, len(self.whole) - self._found, self.unjudged)

    @property
    def unjudged(self) -> int:
        return self.whole.unjudged

    @property
    def rates(self) -> NoiseEstimate | None:
        """The estimated noise where its figures are to be believed."""
        return None if self.noise is None or self.noise.doubt else self.noise

    @property
    def self_test(self) -> SelfTest | None:
        return self.whole.self_test

    @property
    def verdicts(self) -> str:
        """How many labels people have judged; "" where none."""
        return verdict_counts(self.whole.verdict) if self.whole.verdict.any() else ""

    @property
    def storage(self) -> str:
        """A name for what a browser keeps of this report, by the labels that it shows."""
        shown = ",".join(map(str, [*(self.order.key[row] for row in self._cases), *self._candidates]))
        return f"finecl_hf review {text_key(shown)}"

    @property
    def relation_choices(self) -> list[str]:
        return sorted({*self._relations, *self.relation_names})

    @property
    def epochs(self) -> list[tuple[str, int]]:
        return self.order.learned_rows

    @property
    def never(self) -> float:
        return float((self.order.first_epoch < 0).mean())

    @property
    def hardly_learned(self) -> bool:
        return 1 - self.never < HARDLY_LEARNED

    @property
    def clean(self) -> float | None:
        return None if self.is_clean is None else float(self.is_clean.mean())

    @property
    def worst(self) -> list[Case]:
        return [case for row in self._worst if (case := self._cases[row])]

    @property
    def missing(self) -> int:
        """Least trusted labels that no document held."""
        return len(self._worst) - len(self.worst)

    @property
    def early(self) -> list[Case]:
        return [case for row in self._early if (case := self._cases[row])]

    @property
    def candidates(self) -> list[Candidate]:
        """Facts that seem to lack a label, best first."""
        return [candidate for candidate in self._candidates.values() if candidate]

    @property
    def early_epochs(self) -> int:
        return _early_epochs(self.order)

    @cached_property
    def charts(self) -> dict[str, Markup]:
        return {
            "learned": learned_chart(self.order, self.is_clean),
            "trust": trust_chart(self.trust, self.is_clean),
            "map": data_map(self.order, self.is_clean),
        }

    @cached_property
    def relations(self) -> list[RelationRow]:
        """The most suspicious relation first: by the low end of its estimated noise, else by its mean trust.

        A mean of few labels says little, so for the ranking each relation has PRIOR labels of average trust more.
        """
        size = len(self._relations)
        labels = np.bincount(self._codes, minlength=size)
        sums, never, clean = (
            np.bincount(self._codes, weights=values, minlength=size)
            for values in (self.trust, self.order.first_epoch < 0, self.is_clean)
        )
        estimates = {estimate.relation: estimate for estimate in self.rates.relations} if self.rates else {}
        steadied = (sums + PRIOR * self.trust.mean()) / (labels + PRIOR)

        def suspicion(code: int) -> tuple[float, float]:
            estimate = estimates.get(self._relations[code])
            return (-estimate.low if estimate else 0.0), steadied[code]

        return [
            RelationRow(
                name=self.relation_names.get(self._relations[code], self._relations[code]),
                id=self._relations[code],
                labels=int(labels[code]),
                trust=float(sums[code] / labels[code]),
                never=float(never[code] / labels[code]),
                noise=estimates.get(self._relations[code]),
                clean=None if self.is_clean is None else float(clean[code] / labels[code]),
            )
            for code in sorted(range(size), key=suspicion)
            if labels[code]
        ]

    def _case(self, document: Document, fact: Fact, row: int) -> Case:
        epoch, observed = int(self.order.first_epoch[row]), self.order.observed[row]
        probability = self.order.probability[row][observed].astype(np.float32)
        return Case(
            **self._shown(document, fact),
            trust=float(self.trust[row]),
            learned=f"learned in epoch {epoch}" if epoch >= 0 else "never learned",
            probability=probability.tolist(),
            correct=self.order.correct[row][observed].tolist(),
            is_clean=None if self.is_clean is None else bool(self.is_clean[row]),
        )

    def _shown(self, document: Document, fact: Fact) -> dict[str, Any]:
        """The fields of a [`Shown`]."""
        head_type, tail_type = document.types_of(fact)
        return {
            "relation": self.relation_names.get(fact.relation, fact.relation),
            "head": document.longest_name(fact.head),
            "head_type": head_type,
            "tail": document.longest_name(fact.tail),
            "tail_type": tail_type,
            "title": document.title,
            "pieces": excerpt(document, fact),
            "key": str(document.fact_key(fact)),  # JavaScript has no integers of 64 bits
            "instance_id": document.instance_id(fact),
        }


def write_report(
    order: LearningOrder, trust: np.ndarray, documents: Iterable[Document], path: str | os.PathLike, **options: Any
) -> Coverage:
    """Writes the [`Report`] of a corpus, which is read once, and next to it the same as Markdown.

    Args:
        path: ends in `.html`; the Markdown takes the same name with `.md`.
        order, trust, options: see [`Report`].

    Returns:
        How the learning order and the labels of the documents fit; below 100 % the report says so on top.

    Raises:
        FineCLError: what a [`Report`] raises, the order belongs to another corpus, or the path does not end in
            `.html`.
    """
    path = Path(path)
    if path.suffix.lower() != ".html":
        raise FineCLError(f"{path}: the report is a web page; let its name end in .html.")
    report = Report(order, trust, **options)
    for document in documents:
        report.see(document)
    coverage = report.coverage
    if not coverage.known:
        raise FineCLError(
            f"the learning order knows none of the documents' {coverage.unknown:,} labels, so it belongs to another "
            "corpus; name the documents that it was made from."
        )
    report.write(path)
    return coverage


def report_files(
    order_file: str | os.PathLike,
    source: str | os.PathLike,
    output: str | os.PathLike,
    score: str = RECOMMENDED,
    rel_info: str | None = None,
    worst: int = 50,
    missing: str | None = None,
    **reading: Any,
) -> Coverage:
    """[`write_report`] of a learning order and a corpus on disk.

    Args:
        score: as in `trust.SCORES`.
        missing: the missing_labels.parquet of the same stage 1.
        reading: further arguments of [`valid_documents`].
    """
    for page in (Path(output), Path(output).with_suffix(".md")):
        refuse_overwriting(page, [order_file, *local_files(source), rel_info, missing, reading.get("label_map")])
        _refuse_foreign(page)
    order = LearningOrder.read(order_file)
    documents = valid_documents(source, **reading)
    names = read_relation_names(rel_info)
    options = {"relation_names": names, "noise": noise_of(order), "score_name": score, "worst": worst}
    options["missing"] = read_missing(missing) if missing else ()
    return write_report(order, unit_trust(score, order), documents, output, **options)


def _refuse_foreign(page: Path) -> None:
    """A README.md beside README.html, say, is not to be lost to a report."""
    text = page.read_text(encoding="utf-8", errors="replace") if page.is_file() else ""
    if text and not any(title in text for title in REPORT_TITLES):
        raise FineCLError(f"{page}: there is such a file, and it is no report; choose another --output.")


def _checked_trust(trust: np.ndarray, order: LearningOrder) -> np.ndarray:
    trust = np.asarray(trust, np.float64)
    if not len(order):
        raise FineCLError("the learning order is empty; run stage 1 on documents with labels.")
    if trust.shape != (len(order),) or not ((trust >= 0) & (trust <= 1)).all():
        raise FineCLError(
            f"each of the {len(order):,} labels needs a trust between 0 and 1, found shape {trust.shape}"
            + (f" with values from {trust.min():.3g} to {trust.max():.3g}." if trust.size else ".")
        )
    return trust


def _relations_of(order: LearningOrder) -> tuple[np.ndarray, list[str]]:
    """(N,) int codes and the relation of each code. A table read from JSON has relations in its ids only."""
    names = order.relation
    if not any(names.unique().to_pylist()):
        names = np.array([relation_of_id(name) for name in order.instance_id.to_pylist()])
        found, codes = np.unique(names, return_inverse=True)
        return codes, found.tolist()
    encoded = names.dictionary_encode()
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()


def _least_trusted(order: LearningOrder, trust: np.ndarray, codes: np.ndarray, worst: int) -> np.ndarray:
    """Rows of the least trusted labels, at most PER_RELATION of one relation unless that leaves too few."""
    ranked = np.lexsort((order.key, trust))  # ties: neither by row nor by alphabet
    ranked = ranked[order.verdict[ranked] == 0]  # what people have judged is known
    taken: Counter[int] = Counter()
    chosen, others = [], []
    for place, row in enumerate(ranked.tolist()):
        taken[codes[row]] += 1
        (chosen if taken[codes[row]] <= PER_RELATION else others).append(place)
        if len(chosen) == worst:
            break
    return ranked[sorted(chosen + others[: worst - len(chosen)])]


def _some_of(missing: Sequence[MissingLabel]) -> list[MissingLabel]:
    """The best ones, at most PER_RELATION of one relation."""
    taken: Counter[str] = Counter()
    chosen = []
    for row in missing:
        taken[row.relation] += 1
        if taken[row.relation] <= PER_RELATION:
            chosen.append(row)
    return chosen[:CANDIDATES]


def _early_epochs(order: LearningOrder) -> int:
    """The first third of the epochs counts as early; 0 where there is no later epoch to contradict them."""
    return -(-order.num_epochs // 3) if order.num_epochs > 1 else 0


def _contradicted(order: LearningOrder, without: list[int]) -> np.ndarray:
    """Rows of labels that were learned early and that the last epoch predicts no longer, the clearest first.

    The blind spot of the learning order that Early Cutting looks at a second time: a wrong label that resembles right
    ones is learned early too, and the later, better model turns away from it.
    """
    early = _early_epochs(order)
    if not early:
        return np.zeros(0, np.int64)
    last = order.num_epochs - 1
    chosen = (order.first_epoch >= 0) & (order.first_epoch < min(early, last))
    chosen &= order.observed[:, last] & ~order.correct[:, last]
    chosen &= order.verdict == 0
    chosen[without] = False
    rows = np.flatnonzero(chosen)
    ranked = np.lexsort((order.key[rows], order.probability[rows, last].astype(np.float32)))
    return rows[ranked][:EARLY]


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")  # HTML cannot hold them
_BLANK_LINES = re.compile(r"\n{3,}")  # where a statement of the template wrote nothing
_TEMPLATES = ("report.html", "report.md")


def render(report: Report) -> list[str]:
    """HTML and Markdown of a report."""
    pages = [_environment(name.endswith(".html")).get_template(name).render(report=report) for name in _TEMPLATES]
    return [_BLANK_LINES.sub("\n\n", f"{page.strip()}\n") for page in pages]


def _environment(html: bool) -> jinja2.Environment:
    environment = templates_in(resources.files("finecl_hf.denoising"), html, finalize=_printable)
    environment.filters.update({} if html else {function.__name__: function for function in FILTERS})
    environment.filters["spaced"] = lambda value: re.sub(r"\S.*\S|\S", lambda words: text(words[0]), value, flags=re.S)
    environment.filters["share"] = lambda value: f"{100 * value:.0f}%"
    environment.filters["count"] = lambda value: f"{value:,}"
    return environment


def _printable(value: Any) -> Any:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", value) if type(value) is str else value
