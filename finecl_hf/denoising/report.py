"""The denoising report: one page on which a person sees what stage 1 found, and judges the least trusted labels.

`report.html` is whole in itself: no script, no other file, no network. `report.md` says the same without the charts.
Shapes: N labels (the rows of the learning order), E epochs.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow as pa
from markupsafe import Markup

from finecl_hf import __version__
from finecl_hf.cards.markdown import FILTERS, text
from finecl_hf.data.documents import Document, Fact
from finecl_hf.data.files import refuse_overwriting, replacing
from finecl_hf.data.readers import iter_documents, local_files
from finecl_hf.data.relation_names import read_relation_names
from finecl_hf.denoising.charts import bar_chart, data_map, histogram, sparkline, split_counts
from finecl_hf.denoising.excerpts import Piece, excerpt, marked_stretches
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.hashing import text_key
from finecl_hf.learning_order.noise_estimate import NoiseEstimate, noise_of
from finecl_hf.learning_order.table import Coverage, LearningOrder
from finecl_hf.learning_order.trust import RECOMMENDED, unit_score


REPORT_TITLES = ("Which labels can be trusted?", "# Denoising report")
PER_RELATION = 5  # of the least trusted labels, so that one bad relation does not fill the list
EARLY = 12  # labels learned early that the last epoch contradicts
HARDLY = 0.25  # share of labels learned; with less, the page warns that it says little
SHOWN_RELATIONS = 40  # before the reader has to unfold the rest
PRIOR = 5  # labels of average trust that each relation is thought to have besides its own
_BLOCK = 1 << 16  # rows whose dynamics are in memory as float32 at a time


@dataclass
class Case:
    """A label for a person to judge."""

    relation: str
    head: str
    head_type: str
    tail: str
    tail_type: str
    title: str
    pieces: list[Piece]
    trust: float
    learned: str
    last_probability: float | None
    spark: Markup
    is_clean: bool | None

    @property
    def markdown(self) -> list[tuple[str, bool]]:
        return marked_stretches(self.pieces)


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


def write_report(
    order: LearningOrder,
    trust: np.ndarray,
    documents: Iterable[Document],
    path: str | os.PathLike,
    relation_names: Mapping[str, str] | None = None,
    noise: NoiseEstimate | None = None,
    score_name: str = "trust",
    worst: int = 50,
    is_clean: np.ndarray | None = None,
) -> Coverage:
    """Writes the report, and next to it the same as Markdown; each whole or not at all.

    Args:
        order: N labels. Those that stage 1 never judged, past the length it was given, are counted and left out.
        trust: (N,) float in [0, 1], higher for a more trustworthy label.
        documents: the corpus, read once; only excerpts of the shown labels stay in memory.
        path: ends in `.html`; the Markdown takes the same name with `.md`.
        relation_names: relation id -> readable name.
        noise: estimated share of wrong labels, overall and for each relation.
        score_name: what the trust is called.
        worst: how many of the least trusted labels to show.
        is_clean: (N,) bool, whether each label is right, where that is known.

    Returns:
        How the learning order and the labels of the documents fit; below 100 % the report says so on top.

    Raises:
        FineCLError: the order is empty or belongs to another corpus, the trust does not fit it, or the path does not
            end in `.html`.
    """
    path = Path(path)
    if path.suffix.lower() != ".html":
        raise FineCLError(f"{path}: the report is a web page; let its name end in .html.")
    if worst < 1:
        raise FineCLError(f"{worst} labels cannot be shown; ask for at least 1.")
    trust = _checked_trust(trust, order)
    judged = order.judged
    if not judged.any():
        raise FineCLError("stage 1 has judged none of the labels: they lie past the length it was given.")
    unjudged = frozenset(order.instance_id.filter(pa.array(~judged)).to_pylist())
    order, trust = (order.select(judged), trust[judged]) if unjudged else (order, trust)
    is_clean = is_clean if is_clean is None else np.asarray(is_clean)[judged]
    codes, relations = _relations_of(order)
    worst_rows = _least_trusted(order, trust, codes, worst)
    early_rows = _contradicted(order, worst_rows)
    cases, coverage = _Cases(order, trust, relation_names or {}, is_clean, unjudged).collect(
        documents, np.concatenate([worst_rows, early_rows])
    )
    rows = _relation_rows(
        order, trust, codes, relations, relation_names or {}, noise.relations if noise else (), is_clean
    )
    view = {
        "version": __version__,
        "coverage": coverage,
        "order": order,
        "trust": trust,
        "score_name": score_name,
        "epochs": _learned(order),
        "hardly_learned": float((order.first_epoch >= 0).mean()) < HARDLY,
        "never": float((order.first_epoch < 0).mean()),
        "noise": (noise.overall.rate, noise.overall.low, noise.overall.high) if noise else None,
        "noise_words": str(noise) if noise else "",
        "unjudged": len(unjudged),
        "clean": None if is_clean is None else float(is_clean.mean()),
        "relations": rows,
        "shown_relations": SHOWN_RELATIONS,
        "charts": _charts(order, trust, is_clean),
        "worst": [cases[row] for row in worst_rows.tolist() if row in cases],
        "early": [cases[row] for row in early_rows.tolist() if row in cases],
        "early_epochs": _early_epochs(order),
        "per_relation": PER_RELATION,
        "missing": len(worst_rows) - sum(row in cases for row in worst_rows.tolist()),
    }
    for target, page in zip((path, path.with_suffix(".md")), render(view), strict=True):
        with replacing(target) as file:
            file.write(page.encode())
    return coverage


def report_files(
    order_file: str | os.PathLike,
    source: str | os.PathLike,
    output: str | os.PathLike,
    score: str = RECOMMENDED,
    rel_info: str | None = None,
    worst: int = 50,
    format: str | None = None,
    split: str | None = None,
) -> Coverage:
    """[`write_report`] of a learning order and a corpus on disk; `score` as in `scores.SCORES`."""
    for page in (Path(output), Path(output).with_suffix(".md")):
        refuse_overwriting(page, [order_file, *local_files(source), rel_info])
        _refuse_foreign(page)
    order = LearningOrder.read(order_file)
    documents = _valid(iter_documents(source, format=format, split=split))
    names = read_relation_names(rel_info)
    trust = unit_score(score, order)
    noise = noise_of(order)
    return write_report(order, trust, documents, output, names, noise, score, worst)


def _refuse_foreign(page: Path) -> None:
    """A README.md beside README.html, say, is not to be lost to a report."""
    text = page.read_text(encoding="utf-8", errors="replace") if page.is_file() else ""
    if text and not any(title in text for title in REPORT_TITLES):
        raise FineCLError(f"{page}: there is such a file, and it is no report; choose another --output.")


def _valid(items: Iterable[Document | DocumentError]) -> Iterator[Document]:
    for item in items:
        if isinstance(item, DocumentError):
            raise item
        yield item


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
        names = np.array([name.rpartition("#")[2] for name in order.instance_id.to_pylist()])
        found, codes = np.unique(names, return_inverse=True)
        return codes, found.tolist()
    encoded = names.dictionary_encode()
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()


def _least_trusted(order: LearningOrder, trust: np.ndarray, codes: np.ndarray, worst: int) -> np.ndarray:
    """Rows of the least trusted labels, at most PER_RELATION of one relation unless that leaves too few."""
    keys = np.array([text_key(name) for name in order.instance_id.to_pylist()])  # ties: not by row or alphabet
    ranked = np.lexsort((keys, trust))
    taken: Counter[int] = Counter()
    chosen, others = [], []
    for place, row in enumerate(ranked.tolist()):
        taken[codes[row]] += 1
        (chosen if taken[codes[row]] <= PER_RELATION else others).append(place)
        if len(chosen) == worst:
            break
    return ranked[sorted(chosen + others[: worst - len(chosen)])]


def _early_epochs(order: LearningOrder) -> int:
    """The first third of the epochs counts as early; 0 where there is no later epoch to contradict them."""
    return -(-order.num_epochs // 3) if order.num_epochs > 1 else 0


def _contradicted(order: LearningOrder, without: np.ndarray) -> np.ndarray:
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
    chosen[without] = False
    rows = np.flatnonzero(chosen)
    keys = [text_key(str(order.instance_id[int(row)])) for row in rows]
    ranked = np.lexsort((np.array(keys, np.int64), order.probability[rows, last].astype(np.float32)))
    return rows[ranked][:EARLY]


class _Cases:
    """Finds labels in the documents and prepares them to be judged."""

    def __init__(self, order, trust, relation_names, is_clean, unjudged):
        self.order, self.trust, self.relation_names, self.is_clean = order, trust, relation_names, is_clean
        self.unjudged = unjudged

    def collect(self, documents: Iterable[Document], rows: np.ndarray) -> tuple[dict[int, Case], Coverage]:
        """The case of each of these rows that the documents hold, and how the order fits all of the documents."""
        wanted = set(rows.tolist())
        row_of = {name: row for row, name in enumerate(self.order.instance_id.to_pylist())}
        cases: dict[int, Case] = {}
        known = unknown = unjudged = 0
        for document in documents:
            for fact in document.relations:
                row = row_of.get(document.instance_id(fact))
                if row is None and document.instance_id(fact) in self.unjudged:
                    unjudged += 1
                    continue
                known, unknown = known + (row is not None), unknown + (row is None)
                if row in wanted:
                    cases[row] = self._case(document, fact, row)
        if not known:
            raise FineCLError(
                f"the learning order knows none of the documents' {unknown:,} labels, so it belongs to another "
                "corpus; name the documents that it was made from."
            )
        unused = len(self.order) + len(self.unjudged) - known - unjudged
        return cases, Coverage(known + unjudged, unknown, unused, unjudged)

    def _case(self, document: Document, fact: Fact, row: int) -> Case:
        epoch, observed = int(self.order.first_epoch[row]), self.order.observed[row]
        probability = self.order.probability[row][observed].astype(np.float32)
        head, tail = (document.entities[entity] for entity in (fact.head, fact.tail))
        return Case(
            relation=self.relation_names.get(fact.relation, fact.relation),
            head=_longest_name(head),
            head_type=head[0].type,
            tail=_longest_name(tail),
            tail_type=tail[0].type,
            title=document.title,
            pieces=excerpt(document, fact),
            trust=float(self.trust[row]),
            learned=f"learned in epoch {epoch}" if epoch >= 0 else "never learned",
            last_probability=float(probability[-1]) if len(probability) else None,
            spark=Markup(sparkline(probability, self.order.correct[row][observed])) if len(probability) else Markup(),
            is_clean=None if self.is_clean is None else bool(self.is_clean[row]),
        )


def _longest_name(entity: list) -> str:
    return max((mention.name for mention in entity), key=len)


def _relation_rows(order, trust, codes, relations, relation_names, noise, is_clean) -> list[RelationRow]:
    """The most suspicious relation first: by the low end of its estimated noise, else by its mean trust.

    A mean of few labels says little, so for the ranking each relation has PRIOR labels of average trust more.
    """
    size = len(relations)
    labels = np.bincount(codes, minlength=size)
    sums = np.bincount(codes, weights=trust, minlength=size)
    never = np.bincount(codes, weights=order.first_epoch < 0, minlength=size)
    clean = None if is_clean is None else np.bincount(codes, weights=is_clean, minlength=size)
    estimates = {estimate.relation: estimate for estimate in noise or ()}
    steadied = (sums + PRIOR * trust.mean()) / (labels + PRIOR)

    def suspicion(code: int) -> tuple[float, float]:
        estimate = estimates.get(relations[code])
        return (-estimate.low if estimate else 0.0), steadied[code]

    return [
        RelationRow(
            name=relation_names.get(relations[code], relations[code]),
            id=relations[code],
            labels=int(labels[code]),
            trust=float(sums[code] / labels[code]),
            never=float(never[code] / labels[code]),
            noise=estimates.get(relations[code]),
            clean=None if clean is None else float(clean[code] / labels[code]),
        )
        for code in sorted(range(size), key=suspicion)
        if labels[code]
    ]


def _learned(order: LearningOrder) -> list[tuple[str, int]]:
    counts = order.learned_by_epoch().tolist()
    return list(zip([*map(str, range(len(counts) - 1)), "never"], counts, strict=True))


def _charts(order: LearningOrder, trust: np.ndarray, is_clean: np.ndarray | None) -> dict[str, Markup]:
    epochs = _learned(order)
    place = np.where(order.first_epoch < 0, len(epochs) - 1, order.first_epoch)
    counts, classes = split_counts(place, len(epochs), is_clean)
    if is_clean is None:
        classes = [["good"] * (len(epochs) - 1) + ["bad"]]
    charts = {
        "learned": bar_chart([name for name, _ in epochs], counts, classes, "epoch of the first correct prediction"),
        "trust": histogram(trust, is_clean, "trust"),
    }
    if (order.observed.sum(axis=1) > 1).any():  # one epoch has no variability
        confidence, variability, correct, seen = _dynamics(order)
        share, what = (correct, "predicted in the epochs seen") if is_clean is None else (is_clean[seen], "right")
        charts["map"] = data_map(confidence, variability, share, what)
    return {name: Markup(chart) for name, chart in charts.items()}


def _dynamics(order: LearningOrder) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard deviation of the probability and share of correct epochs of the rows seen; which rows."""
    seen = np.flatnonzero(order.observed.any(axis=1))
    parts = []
    for start in range(0, len(seen), _BLOCK):
        rows = seen[start : start + _BLOCK]
        observed, values = order.observed[rows], order.probability[rows].astype(np.float32)
        parts.append(
            (
                values.mean(1, where=observed),
                values.std(1, where=observed),
                order.correct[rows].mean(1, where=observed),
            )
        )
    return *(np.concatenate(column) for column in zip(*parts, strict=True)), seen


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")  # HTML cannot hold them
_BLANK_LINES = re.compile(r"\n{3,}")  # where a statement of the template wrote nothing
_TEMPLATES = ("report.html", "report.md")


def render(view: dict[str, Any]) -> list[str]:
    """HTML and Markdown of what [`~finecl_hf.denoising.report.write_report`] found."""
    pages = [_environment(name.endswith(".html")).get_template(name).render(view) for name in _TEMPLATES]
    return [_BLANK_LINES.sub("\n\n", f"{page.strip()}\n") for page in pages]


def _environment(html: bool) -> jinja2.Environment:
    folder = resources.files("finecl_hf.denoising")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
        undefined=jinja2.StrictUndefined,
        autoescape=html,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({} if html else {function.__name__: function for function in FILTERS})
    environment.filters["spaced"] = lambda value: re.sub(r"\S.*\S|\S", lambda words: text(words[0]), value, flags=re.S)
    environment.filters["share"] = lambda value: f"{100 * value:.0f}%"
    environment.filters["count"] = lambda value: f"{value:,}"
    return environment


def _printable(value: Any) -> Any:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", value) if type(value) is str else value
