"""The join of documents with a triple table that may be far larger than memory, in DuckDB, on disk.

The documents' names or ids are few, so they are the small side: the table is scanned once, and only what lies between
two of them is kept. Then the entities of each document are paired and looked up among those facts. Every step may
spill to disk; Python holds one batch of mentions, and later one batch of labels.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from finecl_hf.data.documents import NA, Document, Fact
from finecl_hf.data.unicode_files import refuse_utf_16
from finecl_hf.distant.triple_tables import TripleTable, connect, quoted, scanning, text_source
from finecl_hf.errors import FineCLError


_BATCH = 100_000  # mentions, or labels, in memory at a time
TOP_AMBIGUOUS = 20  # ambiguous names, and pairs of names, that are listed
_SPACES = r"[\x{9}-\x{d}\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+"
# `name_key` is finecl_hf.data.held_out.name_key, with a short cut for printable ASCII. `id_key` reduces URIs, with or
# without <>, to their last part, and Wikidata's prefixed names to the id: Q42, P19.
_MACROS = rf"""
CREATE MACRO any_name_key(x) AS replace(lower(trim(regexp_replace(
    replace(nfc_normalize(x), 'İ', 'I'), '{_SPACES}', ' ', 'g'))), 'ς', 'σ');
CREATE MACRO name_key(x) AS
    CASE WHEN regexp_matches(x, '^[!-~]+( [!-~]+)*$') THEN lower(x) ELSE any_name_key(x) END;
CREATE MACRO last_part(x) AS coalesce(nullif(split_part(split_part(rtrim(x, '>'), '/', -1), '#', -1), ''), x);
CREATE MACRO id_key(x) AS CASE
    WHEN starts_with(x, 'http') OR starts_with(x, '<http') THEN last_part(trim(x))
    WHEN starts_with(x, 'wd') THEN regexp_replace(trim(x), '^wdt?:', '')
    ELSE trim(x) END;
CREATE MACRO looks_like_id(x) AS regexp_matches(x, '^(<?https?://|(wdt?:)?[QPL][0-9]+$|/[mg]/)');
"""

_LABELS = "SELECT DISTINCT doc, head, tail, relation FROM matches ORDER BY doc, head, tail, relation"
_AMBIGUOUS = """SELECT h.key, t.key, relations, entity_pairs FROM ambiguous_pair
JOIN keys AS h ON h.id = head_key JOIN keys AS t ON t.id = tail_key"""
_OF_PART = ("raw", "judged", "explicit_pairs", "keys", "entities", "facts", "matches", "ambiguous_pair")
_PAIR = ("head", "tail", "relations", "entity_pairs")


@dataclass
class JoinStatistics:
    """What the join saw, before any filter.

    Attributes:
        match: `"name"` or `"id"`.
        names, names_found: distinct names (or ids) of the documents, and how many of them stand in the table.
        rows, rows_skipped, rows_used: rows of the table; without a value, or with the relation NA; between two names
            of the documents, of a chosen relation.
        facts: distinct triples among the rows used.
        ambiguous_pairs: pairs of names that label documents with more than one relation.
        top_pairs: those that label most entity pairs: `{"head", "tail", "relations", "entity_pairs"}`.
        ambiguous_names: names of the documents that are aliases of several ids.
        top_names: those that name most entities: `{"name", "ids" (how many), "examples" (up to five), "entities"}`.
    """

    match: str
    names: int = 0
    names_found: int = 0
    rows: int = 0
    rows_skipped: int = 0
    rows_used: int = 0
    facts: int = 0
    ambiguous_pairs: int = 0
    top_pairs: list[dict[str, Any]] = field(default_factory=list)
    ambiguous_names: int = 0
    top_names: list[dict[str, Any]] = field(default_factory=list)


class KnownFacts(NamedTuple):
    """What a knowledge base says between the names of a corpus: all that the labels of any part of it depend on.

    Attributes:
        match: `"name"` or `"id"`.
        keys: Arrow table of the names or ids, `(id, key)`.
        facts: Arrow table of `(head, relation, tail)`, heads and tails by their number in `keys`.
        alias: Arrow table of `(name, id)`; None where names have no ids.
    """

    match: str
    keys: Any
    facts: Any
    alias: Any = None


AmbiguousPair = tuple[str, str, list[str], int]  # head and tail, by name or id; relations; entity pairs


class AmbiguousPairs:
    """The ambiguous pairs of a corpus, added up from its parts as one join over the whole of it counts them."""

    def __init__(self):
        self._relations: dict[tuple[str, str], list[str]] = {}
        self._entity_pairs: Counter[tuple[str, str]] = Counter()

    def add(self, pairs: Iterable[AmbiguousPair]) -> None:
        """Takes those of one more part."""
        for head, tail, relations, entity_pairs in pairs:
            self._relations[head, tail] = relations  # all that the knowledge base says of the two: alike in each part
            self._entity_pairs[head, tail] += entity_pairs

    def tell(self, statistics: JoinStatistics) -> None:
        """Writes down what [`TableJoin.pair`] does."""
        top = sorted(self._entity_pairs.items(), key=lambda item: (-item[1], item[0]))[:TOP_AMBIGUOUS]
        statistics.ambiguous_pairs = len(self._relations)
        statistics.top_pairs = [
            dict(zip(_PAIR, (*pair, self._relations[pair], count), strict=True)) for pair, count in top
        ]


class TableJoin:
    """Documents, then a table, then the labels of the documents; a database in a folder of its own.

    Args:
        folder: an empty folder for the database and what is spilled.
        memory_gb: how much memory DuckDB may take.
    """

    def __init__(self, folder: Path, memory_gb: float = 4.0):
        # A thread of DuckDB wants about half a gigabyte to work in; with less it gives up instead of spilling.
        threads = max(1, min(os.cpu_count() or 1, int(memory_gb * 2)))
        self.folder = folder
        self._db = connect(folder / "join.duckdb", memory_gb, threads)
        self._db.execute(_MACROS)
        self._make_tables()

    def _make_tables(self) -> None:
        self._db.execute(
            "CREATE TABLE raw (doc BIGINT, entity INTEGER, name VARCHAR, kb_id VARCHAR);"
            "CREATE TABLE judged (doc BIGINT, head INTEGER, tail INTEGER);"
            "CREATE TABLE explicit_pairs (doc BIGINT);"
        )

    def close(self) -> None:
        self._db.close()

    def add_documents(self, documents: Iterable[Document]) -> None:
        """Takes the names and ids of every entity; documents are numbered from 0."""
        raw = _Buffer(self._db, "raw", ("doc", "entity", "name", "kb_id"))
        judged = _Buffer(self._db, "judged", ("doc", "head", "tail"))
        explicit = _Buffer(self._db, "explicit_pairs", ("doc",))
        for number, document in enumerate(documents):
            for entity, mentions in enumerate(document.entities):
                for name, kb_id in {(mention.name, mention.kb_id) for mention in mentions}:
                    raw.append(number, entity, name, kb_id)
            if document.pairs is not None:
                explicit.append(number)
                for head, tail in document.pairs:
                    judged.append(number, head, tail)
        for buffer in (raw, judged, explicit):
            buffer.flush()

    def look_up(
        self,
        table: TripleTable,
        match: str = "auto",
        aliases: Path | None = None,
        ambiguous: str = "keep",
        relations: list[str] | None = None,
        skip_invalid: bool = False,
    ) -> JoinStatistics:
        """Finds the facts between names of the documents, for [`pair`] or [`known_facts`].

        Args:
            table: the triples.
            match: `"name"`, `"id"`, or `"auto"`: ids where aliases are given, or where most heads at the beginning of
                the table look like ids (Wikidata's, Freebase's, or URIs).
            aliases: file of `id<TAB>alias`, further aliases in further cells; gives ids to entities that have none.
            ambiguous: `"drop"` gives no id to a name that is an alias of several.
            relations: use only these.
            skip_invalid: go on without rows that lack a value or hold the relation NA.

        Raises:
            FineCLError: for ids where no mention has one, and whatever is wrong with the table or the aliases.
        """
        with scanning(str(table), table.paths, table.format):
            statistics = JoinStatistics(self._match_of(table, match, aliases))
            if (
                statistics.match == "id"
                and aliases is None
                and not self._one("SELECT count(kb_id <> '' OR NULL) FROM raw")
            ):
                raise FineCLError(
                    f"{table}: the triples are between ids, but no mention of the documents carries a kb_id; add "
                    "them, or name a file of aliases with --aliases, or take --match name."
                )
        if aliases is not None:
            self._read_aliases(aliases, ambiguous, statistics)
        with scanning(str(table)):
            self._make_keys(statistics)
        with scanning(str(table), table.paths, table.format):
            self._scan(table, statistics.match, relations, skip_invalid, statistics)
        return statistics

    def pair(self, statistics: JoinStatistics, table: str) -> None:
        """Finds the labels of all documents; [`labels`] reads them. `table` is its name for messages."""
        with scanning(table):
            self._pair()
            self._db.execute(f"COPY ({_LABELS}) TO {quoted(str(self.folder / 'labels.parquet'))} (FORMAT parquet)")
            self._count_ambiguous(statistics)

    def known_facts(self, match: str) -> KnownFacts:
        """The facts that [`look_up`] has found, with the names that stand in them and nothing else."""
        keys = "SELECT * FROM keys WHERE id IN (SELECT head FROM facts UNION SELECT tail FROM facts)"
        queries = {"keys": keys, "facts": "SELECT * FROM facts"}
        if self._has("alias"):
            queries["alias"] = f"SELECT * FROM alias WHERE id IN (SELECT key FROM ({keys}))"
        return KnownFacts(
            match, **{name: self._db.cursor().sql(query).to_arrow_table() for name, query in queries.items()}
        )

    def labels(self) -> Iterator[tuple[int, list[Fact]]]:
        """(number of the document, its facts sorted by head, tail, relation), in order, without empty ones."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.folder / "labels.parquet") as file:
            rows = (
                row
                for batch in file.iter_batches(_BATCH)
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
            )
            yield from _by_document(rows)

    def _has(self, table: str) -> bool:
        return bool(self._one(f"SELECT count(*) FROM duckdb_tables() WHERE table_name = {quoted(table)}"))

    def _match_of(self, table: TripleTable, match: str, aliases: Path | None) -> str:
        if match == "name" and aliases is not None:
            raise FineCLError(f"--aliases {aliases}: turns names into ids, so it needs --match id, or auto.")
        if match != "auto" or aliases is not None:
            return "id" if aliases is not None else match
        if table.is_of_documents:
            return "name"
        share = self._one(f"SELECT avg(looks_like_id(head)::INT) FROM ({table.select()} LIMIT 1000)")
        return "id" if (share or 0) > 0.5 else "name"

    def _read_aliases(self, path: Path, ambiguous: str, statistics: JoinStatistics) -> None:
        """Table `alias` (name, id): the aliases of names that occur in the documents."""
        if not path.is_file():
            raise FineCLError(f"--aliases {path}: there is no such file; check the path.")
        refuse_utf_16(path, "--aliases")
        function, arguments = text_source([path], 1, delimiter="\x01")
        with scanning(f"--aliases {path}"):
            self._db.execute(
                f"""
                CREATE TABLE wanted_name AS SELECT DISTINCT name_key(name) AS name FROM raw WHERE kb_id = '';
                CREATE TABLE alias AS SELECT DISTINCT name, id FROM (
                    SELECT id_key(cells[1]) AS id, name_key(unnest(
                        CASE WHEN len(cells) < 2 THEN [NULL] ELSE cells[2:] END)) AS name
                    FROM (SELECT string_split(c0, chr(9)) AS cells FROM {function}({quoted(str(path))}{arguments}))
                ) WHERE name IS NULL OR name IN (SELECT name FROM wanted_name WHERE name <> '');
                """
            )
        if bad := self._db.execute("SELECT id FROM alias WHERE name IS NULL LIMIT 1").fetchone():
            raise FineCLError(
                f"--aliases {path}: a line holds no tab, for example `{bad[0][:60]}`; write id<TAB>alias on each line."
            )
        self._db.execute(
            "CREATE TABLE ambiguous_name AS SELECT name, list_sort(list(id)) AS ids FROM alias GROUP BY name "
            "HAVING count(*) > 1"
        )
        statistics.ambiguous_names = self._one("SELECT count(*) FROM ambiguous_name")
        top = self._db.execute(
            f"""
            SELECT ambiguous_name.name, len(ids), ids[:5], count(DISTINCT (doc, entity)) AS entities
            FROM raw JOIN ambiguous_name ON name_key(raw.name) = ambiguous_name.name WHERE kb_id = ''
            GROUP BY ambiguous_name.name, ids ORDER BY entities DESC, ambiguous_name.name LIMIT {TOP_AMBIGUOUS}
            """
        )
        statistics.top_names = [
            {"name": name, "ids": count, "examples": ids, "entities": entities}
            for name, count, ids, entities in top.fetchall()
        ]
        if ambiguous == "drop":
            self._db.execute("DELETE FROM alias WHERE name IN (SELECT name FROM ambiguous_name)")

    def _make_keys(self, statistics: JoinStatistics) -> None:
        """Tables `keys` (id, key), the documents' distinct names or ids, and `entities`."""
        self._make_mentions(statistics.match)
        self._db.execute(
            "CREATE TABLE keys AS SELECT (row_number() OVER ())::INTEGER AS id, key "
            "FROM (SELECT DISTINCT key FROM mentions)"
        )
        self._make_entities()
        statistics.names = self._one("SELECT count(*) FROM keys")

    def _make_mentions(self, match: str) -> None:
        """Table `mentions` (doc, entity, key): the names or ids of each entity."""
        mentions = "SELECT DISTINCT doc, entity, name_key(name) AS key FROM raw"
        if match == "id":
            mentions = "SELECT DISTINCT doc, entity, id_key(kb_id) AS key FROM raw WHERE kb_id <> ''"
            if self._has("alias"):
                mentions += """
                    UNION SELECT raw.doc, raw.entity, alias.id
                    FROM raw ANTI JOIN (SELECT DISTINCT doc, entity FROM raw WHERE kb_id <> '') USING (doc, entity)
                    JOIN alias ON name_key(raw.name) = alias.name
                """
        self._db.execute(f"CREATE TABLE mentions AS SELECT * FROM ({mentions}) WHERE key <> ''")

    def _make_entities(self) -> None:
        """Table `entities` (doc, entity, key): the mentions, by the numbers of their keys."""
        self._db.execute(
            """
            CREATE TABLE entities AS SELECT doc, entity, keys.id AS key FROM mentions JOIN keys USING (key);
            DROP TABLE mentions;
            """
        )

    def _scan(
        self,
        table: TripleTable,
        match: str,
        relations: list[str] | None,
        skip_invalid: bool,
        statistics: JoinStatistics,
    ) -> None:
        """Table `facts` (head, relation, tail), of keys' ids: what the one scan of the triple table keeps.

        Rows are grouped by what is left of them when names that no document has are erased, so that the same scan
        keeps the facts, counts duplicates once, and tells which names stand in the table at all.
        """
        key = "name_key" if match == "name" else "id_key"
        relation = "relation" if table.is_of_documents else "id_key(relation)"
        self._db.execute("CREATE TABLE chosen (relation VARCHAR)")
        if relations is not None:
            self._db.executemany("INSERT INTO chosen VALUES (?)", [[relation] for relation in relations])
        chosen = "relation IN (SELECT relation FROM chosen)" if relations is not None else "true"
        self._db.execute(
            f"""
            CREATE TABLE groups AS
            SELECT head, tail, relation, is_bad, count(*) AS rows, min(example) AS example FROM (
                SELECT h.id AS head, t.id AS tail, is_bad,
                    CASE WHEN NOT is_bad AND h.id IS NOT NULL AND t.id IS NOT NULL AND {chosen}
                        THEN relation END AS relation,
                    CASE WHEN is_bad THEN to_json([triple.head, triple.relation, triple.tail])::VARCHAR END AS example
                FROM (
                    SELECT *, coalesce(head = '' OR tail = '' OR relation IN ('', '{NA}'), true) AS is_bad FROM (
                        SELECT {key}(head) AS head, {relation} AS relation, {key}(tail) AS tail
                        FROM ({table.select()})
                    )
                ) AS triple
                LEFT JOIN keys AS h ON h.key = triple.head LEFT JOIN keys AS t ON t.key = triple.tail
            ) GROUP BY ALL;
            CREATE TABLE facts AS SELECT head, relation, tail FROM groups WHERE relation IS NOT NULL;
            """
        )
        rows, statistics.rows_skipped, statistics.rows_used, example = self._db.execute(
            "SELECT sum(rows), sum(rows) FILTER (is_bad), sum(rows) FILTER (relation IS NOT NULL), min(example) "
            "FROM groups"
        ).fetchone()
        statistics.rows = int(rows or 0)
        statistics.rows_skipped, statistics.rows_used = (
            int(statistics.rows_skipped or 0),
            int(statistics.rows_used or 0),
        )
        statistics.facts = self._one("SELECT count(*) FROM facts")
        statistics.names_found = self._one(
            "SELECT count(*) FROM keys WHERE id IN (SELECT head FROM groups UNION SELECT tail FROM groups)"
        )
        if not statistics.rows:
            raise FineCLError(f"{table}: there are no triples in it; check that this is the right file.")
        if statistics.rows_skipped and (not skip_invalid or statistics.rows_skipped == statistics.rows):
            go_on = "" if statistics.rows_skipped == statistics.rows else ", or go on without them by --skip_invalid"
            raise FineCLError(
                f"{table}: {statistics.rows_skipped:,} of {statistics.rows:,} rows lack a head, relation or tail, or "
                f'their relation is "{NA}", for example {example[:150]}; mend them{go_on}.'
            )

    def _pair(self) -> None:
        """Table `matches`, one row for each label and pair of names that gives it."""
        self._db.execute(
            """
            CREATE TABLE matches AS
            SELECT h.doc, h.entity AS head, t.entity AS tail, h.key AS head_key, t.key AS tail_key, facts.relation
            FROM (SELECT * FROM entities WHERE key IN (SELECT head FROM facts)) AS h
            JOIN (SELECT * FROM entities WHERE key IN (SELECT tail FROM facts)) AS t
                ON h.doc = t.doc AND h.entity <> t.entity
            JOIN facts ON facts.head = h.key AND facts.tail = t.key
            LEFT JOIN explicit_pairs AS explicit ON explicit.doc = h.doc
            LEFT JOIN judged ON judged.doc = h.doc AND judged.head = h.entity AND judged.tail = t.entity
            WHERE explicit.doc IS NULL OR judged.doc IS NOT NULL
            """
        )

    def _count_ambiguous(self, statistics: JoinStatistics) -> None:
        self._make_ambiguous()
        statistics.ambiguous_pairs = self._one("SELECT count(*) FROM ambiguous_pair")
        top = self._db.execute(f"{_AMBIGUOUS} ORDER BY entity_pairs DESC, h.key, t.key LIMIT {TOP_AMBIGUOUS}")
        statistics.top_pairs = [dict(zip(_PAIR, row, strict=True)) for row in top.fetchall()]

    def _make_ambiguous(self) -> None:
        """Table `ambiguous_pair`: pairs of names that label with more than one relation."""
        self._db.execute(
            """
            CREATE TABLE ambiguous_pair AS
            SELECT head_key, tail_key, list_sort(list(DISTINCT relation)) AS relations,
                count(DISTINCT (doc, head, tail)) AS entity_pairs
            FROM matches GROUP BY head_key, tail_key HAVING count(DISTINCT relation) > 1
            """
        )

    def _one(self, query: str) -> Any:
        return self._db.execute(query).fetchone()[0]


class PartialJoin(TableJoin):
    """The labels of one part of a corpus after the other, by facts that were looked up for all of it. In memory.

    Args:
        known: the facts.
        memory_gb: how much memory DuckDB may take.
    """

    def __init__(self, known: KnownFacts, memory_gb: float = 4.0):
        self._db, self._match = connect(None, memory_gb, 1), known.match
        self._db.execute(_MACROS)
        for name, table in (("all_keys", known.keys), ("all_facts", known.facts), ("alias", known.alias)):
            if table is not None:
                self._db.register("known", table)
                self._db.execute(f"CREATE TABLE {name} AS SELECT * FROM known")
                self._db.unregister("known")

    def labels_of(self, documents: Iterable[Document]) -> tuple[Iterator[tuple[int, list[Fact]]], list[AmbiguousPair]]:
        """The labels, as [`labels`] gives them, and what of their names is ambiguous."""
        self._make_tables()
        self.add_documents(documents)
        self._make_mentions(self._match)
        # What is hashed is what stands on the right of a join: the part, not the whole
        self._db.execute("CREATE TABLE keys AS SELECT * FROM all_keys WHERE key IN (SELECT key FROM mentions)")
        self._make_entities()
        self._db.execute(
            "CREATE TABLE facts AS SELECT * FROM all_facts "
            "WHERE head IN (SELECT id FROM keys) AND tail IN (SELECT id FROM keys)"
        )
        self._pair()
        self._make_ambiguous()
        labels = _by_document(self._db.execute(_LABELS).fetchall())
        pairs = self._db.execute(_AMBIGUOUS).fetchall()
        for name in _OF_PART:
            self._db.execute(f"DROP TABLE {name}")
        return labels, pairs


def _by_document(rows: Iterable[tuple]) -> Iterator[tuple[int, list[Fact]]]:
    for number, facts in groupby(rows, itemgetter(0)):
        yield number, [Fact(*fact[1:]) for fact in facts]


class _Buffer:
    """Rows on their way into a table, a batch at a time."""

    def __init__(self, connection: Any, table: str, columns: tuple[str, ...]):
        self._db, self._table, self._columns = connection, table, columns
        self._rows: list[tuple] = []

    def append(self, *row: Any) -> None:
        self._rows.append(row)
        if len(self._rows) == _BATCH:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa

        if not self._rows:
            return
        batch = pa.table(dict(zip(self._columns, zip(*self._rows, strict=True), strict=True)))
        self._db.register("batch", batch)
        self._db.execute(f"INSERT INTO {self._table} SELECT * FROM batch")
        self._db.unregister("batch")
        self._rows = []
