"""From documents and a knowledge base, both in files, to silver documents and a report, one document at a time."""

from __future__ import annotations

import glob
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

from finecl_hf.data.documents import Document, Fact
from finecl_hf.data.files import check_writable, replacing
from finecl_hf.data.held_out import HeldOutPairs
from finecl_hf.data.notes import counted
from finecl_hf.data.readers import EXTENSIONS, local_files, valid_documents, write_rows
from finecl_hf.distant.join import JoinStatistics, KnownFacts, TableJoin
from finecl_hf.distant.knowledge_base import KnowledgeBase
from finecl_hf.distant.triple_tables import TripleTable, scanning, table_format
from finecl_hf.errors import FineCLError


Labelled = Iterator[tuple[Document, list[Fact]]]


@dataclass
class ProjectionOptions:
    """How documents are labelled; [`project_files`] takes them.

    Attributes:
        format: of the knowledge base: `"documents"`, `"tsv"`, `"parquet"` or `"jsonl"`; None finds it out.
        columns: names of the head, relation and tail columns of a triple table.
        match: `"name"`, `"id"` or `"auto"`; see [`TableJoin.look_up`].
        aliases: file of `id<TAB>alias`, which gives ids to entities that have none.
        ambiguous: `"keep"` or `"drop"` names that are aliases of several ids.
        relations: project only these; None projects all.
        exclude_files: documents whose entity pairs are held out; see [`HeldOutPairs`].
        drop_unlabelled: leave out documents without a label.
        skip_invalid: go on without invalid documents and rows.
        memory_gb, temp_dir: memory for the join with a triple table, and where it may spill (None: beside the output).
    """

    format: str | None = None
    columns: Sequence[str] | None = None
    match: str = "auto"
    aliases: str | None = None
    ambiguous: str = "keep"
    relations: list[str] | None = None
    exclude_files: Sequence[str] = ()
    drop_unlabelled: bool = False
    skip_invalid: bool = False
    memory_gb: float = 4.0
    temp_dir: str | None = None


@dataclass
class ProjectionReport:
    """What a projection found.

    Attributes:
        documents, labelled_documents, written_documents: read; with a label after the leakage filter; in the output.
        entities, covered_entities: all; in at least one label, before the leakage filter.
        pairs, covered_pairs: judged (head, tail) pairs; those with a label, before the leakage filter.
        excluded_labels: dropped by the leakage filter.
        labels: labels of each relation that are left.
        join: what was looked up in the knowledge base.
    """

    documents: int = 0
    labelled_documents: int = 0
    written_documents: int = 0
    entities: int = 0
    covered_entities: int = 0
    pairs: int = 0
    covered_pairs: int = 0
    excluded_labels: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    join: JoinStatistics = field(default_factory=lambda: JoinStatistics("name"))

    def add(self, part: ProjectionReport) -> None:
        """Counts what a part of the corpus counted. What was looked up is of the whole corpus, and stays."""
        for name, count in vars(part).items():
            if name != "join":
                setattr(self, name, getattr(self, name) + count)

    def to_dict(self, names: dict[str, str] | None = None) -> dict:
        """The report as JSON holds it; `names` are readable names of relations."""
        names = names or {}
        report = {key: value for key, value in asdict(self).items() if key not in ("labels", "join")}
        report |= {
            "covered_entity_share": _share(self.covered_entities, self.entities),
            "covered_pair_share": _share(self.covered_pairs, self.pairs),
            "found_name_share": _share(self.join.names_found, self.join.names),
            "labels": self.labels.total(),
            "relations": [
                {"relation": relation, "name": names.get(relation, relation), "labels": count}
                for relation, count in _by_count(self.labels)
            ],
        }
        return report | {"knowledge_base": asdict(self.join)}

    def to_text(self, names: dict[str, str] | None = None) -> str:
        """The report in a few lines, then a line for each relation."""
        names, join = names or {}, self.join
        of_names = "ids" if join.match == "id" else "names"
        lines = [
            f"Covered: {_part(self.covered_pairs, self.pairs)} entity pairs and "
            f"{_part(self.covered_entities, self.entities)} entities have a label; "
            f"{_part(join.names_found, join.names)} different {of_names} stand in the knowledge base.",
            f"Knowledge base: {counted(join.rows, 'row')}, {join.rows_used:,} of them between {of_names} of the "
            f"documents ({counted(join.facts, 'different fact')})"
            + (f"; {counted(join.rows_skipped, 'invalid row')} left out." if join.rows_skipped else "."),
            f"Leakage filter: {counted(self.excluded_labels, 'label')} dropped.",
            f"Ambiguous: {counted(join.ambiguous_pairs, 'pair')} of {of_names} with several relations; "
            f"{counted(join.ambiguous_names, 'name')} of several ids.",
        ]
        lines += [
            f"{pair['entity_pairs']:>8,} entity pair{'s' if pair['entity_pairs'] != 1 else ''} "
            f'"{pair["head"]}" -> "{pair["tail"]}": '
            + ", ".join(names.get(relation, relation) for relation in pair["relations"][:6])
            for pair in join.top_pairs[:5]
        ]
        lines += [
            f'{name["entities"]:>8,} entities "{name["name"]}": {name["ids"]:,} ids, such as '
            + ", ".join(name["examples"])
            for name in join.top_names[:5]
        ]
        lines.append("Labels of each relation:")
        for relation, count in _by_count(self.labels):
            lines.append(f"{count:>8,} {relation}" + (f" ({names[relation]})" if relation in names else ""))
        return "\n".join(lines)

    def write(self, path: Path, names: dict[str, str] | None = None) -> None:
        """Writes [`to_dict`] as JSON, whole or not at all."""
        with replacing(path) as file:
            file.write(json.dumps(self.to_dict(names), ensure_ascii=False, indent=2).encode() + b"\n")


class Spread(Protocol):
    """What labels a corpus by facts that were looked up for it, elsewhere than in this process."""

    def __call__(
        self,
        source: str,
        known: KnownFacts,
        held_out: HeldOutPairs,
        options: ProjectionOptions,
        report: ProjectionReport,
        encode: bool,
    ) -> Iterator[dict | bytes]:
        """Yields the rows to write, in order, [`encoded`] where that is asked for; counts in `report` what passes."""


def project_files(
    documents: str,
    knowledge_base: str | Sequence[str],
    output: str,
    options: ProjectionOptions | None = None,
    spread: Spread | None = None,
) -> ProjectionReport:
    """Labels the documents of one file by a knowledge base, and writes them in the same order.

    The labels are silver: nobody has checked that a document states them. A label goes from the head's to the tail's
    entity, never from an entity to itself; pairs that the knowledge base does not know stay NA; labels that the
    documents had are ignored.

    Args:
        documents: file or Hub id of the documents.
        knowledge_base: labelled documents, whose facts are looked up by name (or id); or a triple table in one or
            more files. They are joined on disk by DuckDB.
        output: file to write; appears whole or not at all.
        spread: labels the documents once the facts between their names are known, such as
            [`~finecl_hf.distant.ray_projection.RayProjection`]; None for this process.

    Raises:
        FineCLError: whatever is wrong with the input, or nothing was labelled.
    """
    options = options or ProjectionOptions()
    paths = [knowledge_base] if isinstance(knowledge_base, str) else list(knowledge_base)
    paths = [file for path in paths for file in _files_of_table(path)]
    _check_output(Path(output))
    held_out = HeldOutPairs()
    for path in options.exclude_files:
        for document in valid_documents(path, skip_invalid=options.skip_invalid):
            held_out.add(document)
    report = ProjectionReport()
    with _facts_of(documents, paths, Path(output), options, report) as join, _writing(output):
        if spread is None:
            join.pair(report.join, paths[0])
            labelled = in_step(valid_documents(documents, skip_invalid=True, quiet=True), join.labels())
            rows = (document.to_dict() for document in silver(labelled, held_out, options, report))
        else:
            known = join.known_facts(report.join.match)
            rows = spread(documents, known, held_out, options, report, encode=not output.lower().endswith(".parquet"))
        write_rows(_unless_nothing(rows, options, report, documents, paths[0]), output)
    return report


@contextmanager
def _facts_of(
    source: str, paths: list[str], output: Path, options: ProjectionOptions, report: ProjectionReport
) -> Iterator[TableJoin]:
    """Looks up the names of the documents in the knowledge base, on disk. The documents are read twice, once for
    this, once to be written."""
    folder = Path(options.temp_dir) if options.temp_dir else output.parent
    if not folder.is_dir():
        raise FineCLError(f"--temp_dir {folder}: there is no such folder; make it or name another.")
    aliases = Path(options.aliases) if options.aliases else None
    if options.ambiguous == "drop" and aliases is None:
        raise FineCLError("--ambiguous drop: is about aliases of several ids; name the file of --aliases, too.")
    if aliases is not None and not aliases.is_file():
        raise FineCLError(f"--aliases {aliases}: there is no such file; check the path.")
    with tempfile.TemporaryDirectory(prefix=".finecl_hf_", dir=folder) as temporary:
        table = _open_table(paths, options, Path(temporary))
        join = TableJoin(Path(temporary), options.memory_gb)
        try:
            with scanning(source):
                join.add_documents(valid_documents(source, skip_invalid=options.skip_invalid))
            report.join = join.look_up(
                table, options.match, aliases, options.ambiguous, options.relations, options.skip_invalid
            )
            yield join
        finally:
            join.close()


def _files_of_table(path: str) -> list[str]:
    """The files of a triple table that a folder or a pattern names; whatever is no triple table as it stands."""
    if os.path.isfile(path) or not (os.path.isdir(path) or glob.has_magic(path)):
        return [path]
    files = sorted(map(str, local_files(path) if not os.path.isdir(path) else Path(path).iterdir()))
    files = [file for file in files if os.path.isfile(file) and not os.path.basename(file).startswith(".")]
    return files if files and all(map(table_format, map(Path, files))) else [path]


def _open_table(paths: list[str], options: ProjectionOptions, folder: Path) -> TripleTable:
    """The triple table; the facts of labelled documents are written as one."""
    kind = options.format or next((found for path in paths if (found := table_format(Path(path)))), "documents")
    if kind != "documents":
        return TripleTable.open(paths, kind, options.columns)
    if options.columns:
        raise FineCLError(
            f"{paths[0]}: --columns is for triple tables, and this file is read as documents; drop the option, or say "
            "what the file is with --knowledge_base_format."
        )
    knowledge_base = KnowledgeBase.from_documents(
        (document for path in paths for document in valid_documents(path, skip_invalid=options.skip_invalid)),
        by_id=options.match == "id" or (options.match == "auto" and options.aliases is not None),
    )
    if not knowledge_base and options.match == "id":
        raise FineCLError(f"{paths[0]}: no entity of a label carries a kb_id; take --match name.")
    if not knowledge_base:
        raise FineCLError(f"{paths[0]}: the documents have no labels to project; name a labelled file.")
    return TripleTable.of_documents(knowledge_base.write(folder / "facts.parquet"), paths[0])


def in_step(documents: Iterable[Document], labels: Iterator[tuple[int, list[Fact]]]) -> Labelled:
    """Documents with their facts; `labels` are (number of the document, facts), in order, without empty ones."""
    number, facts = next(labels, (-1, []))
    for i, document in enumerate(documents):
        if i == number:
            yield document, facts
            number, facts = next(labels, (-1, []))
        else:
            yield document, []


def silver(
    labelled: Labelled, held_out: HeldOutPairs, options: ProjectionOptions, report: ProjectionReport
) -> Iterator[Document]:
    """The documents to write; counts what passes."""
    for document, facts in labelled:
        _count(report, document, facts)
        rest, removed = held_out.strip(replace(document, relations=facts, labelled=True))
        report.excluded_labels += removed
        if rest is None:
            continue
        report.labels.update(fact.relation for fact in rest.relations)
        report.labelled_documents += bool(rest.relations)
        if rest.relations or not options.drop_unlabelled:
            report.written_documents += 1
            yield rest


def _unless_nothing(
    rows: Iterable[dict | bytes],
    options: ProjectionOptions,
    report: ProjectionReport,
    source: str,
    knowledge_base: str,
) -> Iterator[dict | bytes]:
    """The rows; raises behind them where no label is left, so that nothing is written."""
    yield from rows
    if report.labels:
        return
    if report.excluded_labels:
        raise FineCLError(
            f"{source}: no label is left, because --exclude_file holds out the entity pairs of all "
            f"{report.excluded_labels:,}; name the validation or test files there."
        )
    raise FineCLError(_nothing_matched(report.join, options, source, knowledge_base))


def _count(report: ProjectionReport, document: Document, facts: list[Fact]) -> None:
    entities = len(document.entities)
    pairs = {(fact.head, fact.tail) for fact in facts}
    report.documents += 1
    report.entities += entities
    report.pairs += entities * (entities - 1) if document.pairs is None else len(document.pairs)
    report.covered_pairs += len(pairs)
    report.covered_entities += len({entity for pair in pairs for entity in pair})


def _nothing_matched(join: JoinStatistics, options: ProjectionOptions, source: str, knowledge_base: str) -> str:
    what = "ids" if join.match == "id" else "names"
    hint = "check that it is the right file" if join.names_found else "check --match and --columns"
    if options.relations is not None:
        hint += ", and --relations"
    return (
        f"{knowledge_base}: labels no entity pair of {source}; of its {join.names:,} {what}, {join.names_found:,} "
        f"stand in the knowledge base; {hint}."
    )


def _check_output(path: Path) -> None:
    """Refuses what cannot be written before the work begins."""
    if not path.name.lower().endswith(EXTENSIONS):
        raise FineCLError(f"--output {path}: the name must end in one of {', '.join(EXTENSIONS)}.")
    check_writable(path, "--output")


@contextmanager
def _writing(output: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FineCLError(f"--output {output}: cannot be written ({error.strerror or error}).") from error


def _by_count(labels: Counter[str]) -> list[tuple[str, int]]:
    """Most frequent first, equal ones by name, whatever the order of the documents."""
    return sorted(labels.items(), key=lambda item: (-item[1], item[0]))


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _part(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({part / whole:.1%})" if whole else "0 of 0"
