"""The join of documents with a triple table, against a slow one written with loops."""

from itertools import permutations

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finecl_hf.data.held_out import name_key
from finecl_hf.distant.join import _MACROS, AmbiguousPairs, JoinStatistics, PartialJoin, TableJoin
from finecl_hf.distant.knowledge_base import KnowledgeBase, project
from finecl_hf.distant.triple_tables import TripleTable
from finecl_hf.errors import FineCLError
from tests.helpers.small_documents import small_document


@pytest.fixture
def join(tmp_path):
    """A function: documents, rows, options -> statistics and the labels as (document, head, tail, relation)."""
    count = 0

    def run(documents, rows, **options):
        nonlocal count
        count += 1
        folder = tmp_path / str(count)
        folder.mkdir()
        table = tmp_path / f"{count}.tsv"
        table.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
        joined = TableJoin(folder, memory_gb=0.5)
        try:
            joined.add_documents(documents)
            statistics = joined.look_up(TripleTable.open(table), **options)
            joined.pair(statistics, str(table))
            labels = _rows(joined.labels())
            assert _in_parts(joined.known_facts(statistics.match), documents) == (labels, *_pairs(statistics))
        finally:
            joined.close()
        return statistics, labels

    return run


def _rows(labels, first=0):
    return [(first + i, fact.head, fact.tail, fact.relation) for i, facts in labels for fact in facts]


def _in_parts(known, documents):
    """The labels and the ambiguous pairs, by joins of two documents at a time."""
    join, labels, ambiguous, statistics = PartialJoin(known, 0.5), [], AmbiguousPairs(), JoinStatistics(known.match)
    for first in range(0, len(documents), 2):
        found, pairs = join.labels_of(documents[first : first + 2])
        labels += _rows(found, first)
        ambiguous.add(pairs)
    join.close()
    ambiguous.tell(statistics)
    return labels, *_pairs(statistics)


def _pairs(statistics):
    return statistics.ambiguous_pairs, statistics.top_pairs


def _slow(documents, rows):
    """What every definition of the labels comes to: four loops."""
    labels = set()
    for number, document in enumerate(documents):
        for head, tail in document.judged_pairs:
            heads = {name_key(name) for name in document.entity_names(head)}
            tails = {name_key(name) for name in document.entity_names(tail)}
            for h, relation, t in rows:
                if name_key(h) in heads and name_key(t) in tails:
                    labels.add((number, head, tail, relation))
    return sorted(labels)


NAMES = st.sampled_from(["a", "A ", "b", "É", "e\u0301", "c", "c  c", "C c", "Σ", "ς"])
ROWS = st.lists(st.tuples(NAMES, st.sampled_from(["r", "q", "s"]), NAMES), min_size=1, max_size=12)
ENTITIES = st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=0, max_size=4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(ENTITIES, st.booleans()), min_size=1, max_size=3), ROWS)
def test_join_equals_loops_and_the_knowledge_base_in_memory(join, layouts, rows):
    documents = []
    for number, (entities, explicit) in enumerate(layouts):
        pairs = list(permutations(range(len(entities)), 2))[::2] if explicit else None
        documents.append(small_document(f"d{number}", entities, pairs=pairs))
    statistics, labels = join(documents, rows, match="name")
    assert labels == _slow(documents, rows)
    kb = KnowledgeBase()
    for head, relation, tail in rows:
        kb.add([head], relation, [tail])
    silver = project(documents, kb)
    assert labels == [(i, f.head, f.tail, f.relation) for i, d in enumerate(silver) for f in d.relations]
    names = {name_key(name) for document in documents for e in range(len(document.entities))
             for name in document.entity_names(e)}  # fmt: skip
    assert statistics.rows == len(rows) and statistics.names == len(names)
    assert statistics.names_found == len(names & {name_key(name) for h, _, t in rows for name in (h, t)})
    facts = {(name_key(h), r, name_key(t)) for h, r, t in rows if {name_key(h), name_key(t)} <= names}
    assert statistics.facts == len(facts)
    assert statistics.rows_used == sum(name_key(h) in names and name_key(t) in names for h, _, t in rows)


def test_direction_is_kept_and_no_entity_is_paired_with_itself(join):
    documents = [
        small_document("d", ["a", "b"]),
        small_document("e", [["a", "b"], "c"]),
        small_document("f", ["a", "a"]),
    ]
    _, labels = join(documents, [("a", "r", "b"), ("a", "s", "a")])
    assert labels == [(0, 0, 1, "r"), (2, 0, 1, "s"), (2, 1, 0, "s")]  # two entities of one name are two entities


def test_order_of_rows_and_documents_and_duplicates_change_nothing(join):
    documents = [small_document("d", ["a", "b", "c"]), small_document("e", ["b", "a"])]
    rows = [("a", "r", "b"), ("b", "q", "c"), ("A", "r", "B "), ("x", "r", "y"), ("a", "q", "b")]
    statistics, labels = join(documents, rows)
    assert labels == [(0, 0, 1, "q"), (0, 0, 1, "r"), (0, 1, 2, "q"), (1, 1, 0, "q"), (1, 1, 0, "r")]
    assert (statistics.rows, statistics.rows_used, statistics.facts) == (5, 4, 3)
    again, shuffled = join(documents, rows[::-1])
    assert shuffled == labels and again == statistics
    _, turned = join(documents[::-1], rows)
    assert sorted((1 - i, *label) for i, *label in turned) == labels


def test_ambiguous_pairs_are_counted_by_the_entity_pairs_they_label(join):
    documents = [small_document("d", ["A", "b"]), small_document("e", ["a", "B", "c"])]
    rows = [("a", "r", "b"), ("a", "q", "b"), ("a", "r", "c"), ("b", "r", "x"), ("b", "q", "x")]
    statistics, _ = join(documents, rows)
    assert statistics.ambiguous_pairs == 1
    assert statistics.top_pairs == [{"head": "a", "tail": "b", "relations": ["q", "r"], "entity_pairs": 2}]


def test_chosen_relations_only_but_names_are_found_all_the_same(join):
    documents = [small_document("d", ["a", "b", "c"])]
    statistics, labels = join(documents, [("a", "r", "b"), ("b", "it's", "c")], relations=["it's"])
    assert labels == [(0, 1, 2, "it's")]
    assert (statistics.names_found, statistics.rows_used, statistics.facts) == (3, 1, 1)


URI = "http://www.wikidata.org/entity/"


@pytest.mark.parametrize("prefix, suffix", [("", ""), (URI, ""), (f"<{URI}", ">"), ("wd:", "")])
@pytest.mark.parametrize("own", ["", URI])
def test_ids_are_reduced_on_both_sides(join, prefix, suffix, own):
    documents = [small_document("d", ["Ada", "London"], kb_ids=[f"{own}Q7259", f"{own}Q84"])]
    relation = "<http://www.wikidata.org/prop/direct/P19>" if suffix else "wdt:P19" if prefix else "P19"
    statistics, labels = join(documents, [(f"{prefix}Q7259{suffix}", relation, f"{prefix}Q84{suffix}")])
    assert labels == [(0, 0, 1, "P19")] and statistics.match == "id"


def test_auto_takes_names_where_heads_are_names(join):
    documents = [small_document("d", ["Ada", "London"], kb_ids=["Q7259", "Q84"])]
    statistics, labels = join(
        documents, [("Ada", "P19", "London"), ("Q7259", "P20", "Q84"), ("Boole", "P19", "Lincoln")]
    )
    assert labels == [(0, 0, 1, "P19")] and statistics.match == "name"
    assert join(documents, [("Ada", "P19", "London"), ("Q7259", "P20", "Q84")], match="id")[1] == [(0, 0, 1, "P20")]


def test_ids_without_any_kb_id_are_refused(join):
    with pytest.raises(FineCLError, match="no mention of the documents carries a kb_id; .*--aliases"):
        join([small_document("d", ["Ada", "London"])], [("Q7259", "P19", "Q84")])


@pytest.fixture
def aliases(tmp_path):
    (tmp_path / "aliases.tsv").write_text(
        "Q7259\tAda Lovelace\tADA\nQ84\tLondon\nQ92561\tLondon\nQ84\tlondon town\n\nQ1\tunheard of\t\n",
        encoding="utf-8",
    )
    return tmp_path / "aliases.tsv"


ALIAS_ROWS = [("Q7259", "P19", "Q84"), ("Q7259", "P20", "Q92561"), ("Q5", "P1", "Q6")]


def test_aliases_give_ids_to_names(join, aliases):
    documents = [small_document("d", ["Ada", "London", ["x", "London Town"]])]
    statistics, labels = join(documents, ALIAS_ROWS, aliases=aliases)
    assert labels == [(0, 0, 1, "P19"), (0, 0, 1, "P20"), (0, 0, 2, "P19")]
    assert statistics.match == "id" and statistics.ambiguous_names == 1
    assert statistics.top_names == [{"name": "london", "ids": 2, "examples": ["Q84", "Q92561"], "entities": 1}]
    statistics, labels = join(documents, ALIAS_ROWS, aliases=aliases, ambiguous="drop")
    assert labels == [(0, 0, 2, "P19")] and statistics.ambiguous_names == 1


def test_aliases_leave_entities_with_an_id_alone(join, aliases):
    documents = [small_document("d", ["Ada", "London"], kb_ids=["", "Q92561"])]
    assert join(documents, ALIAS_ROWS, aliases=aliases)[1] == [(0, 0, 1, "P20")]


def test_mistakes_about_aliases(join, aliases, tmp_path):
    documents = [small_document("d", ["Ada", "London"])]
    with pytest.raises(FineCLError, match="--aliases .*needs --match id"):
        join(documents, ALIAS_ROWS, aliases=aliases, match="name")
    with pytest.raises(FineCLError, match="--aliases .*nowhere.tsv: there is no such file"):
        join(documents, ALIAS_ROWS, aliases=tmp_path / "nowhere.tsv")
    (tmp_path / "one.tsv").write_text("Q1\tx\nQ2 y\n")
    with pytest.raises(FineCLError, match="one.tsv: a line holds no tab, for example `Q2 y`; write id<TAB>alias"):
        join(documents, ALIAS_ROWS, aliases=tmp_path / "one.tsv")
    (tmp_path / "latin.tsv").write_bytes(b"Q1\tx\nQ2\t\xe9\n")
    with pytest.raises(FineCLError, match="latin.tsv, line 2: the text is not UTF-8"):
        join(documents, ALIAS_ROWS, aliases=tmp_path / "latin.tsv")
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):  # the last two without a mark
        (tmp_path / "windows.tsv").write_bytes("Q84\tLondon\n".encode(encoding))
        with pytest.raises(FineCLError, match="--aliases .*windows.tsv: the file is UTF-16; save it with UTF-8"):
            join(documents, ALIAS_ROWS, aliases=tmp_path / "windows.tsv")


def test_the_mark_of_utf_8_is_no_part_of_an_id(join, aliases):
    aliases.write_bytes(b"\xef\xbb\xbf" + aliases.read_bytes())
    assert (0, 0, 1, "P19") in join([small_document("d", ["Ada", "London"])], ALIAS_ROWS, aliases=aliases)[1]


@pytest.mark.parametrize("row", [("a", "r", ""), ("", "r", "b"), ("a", " ", "b"), ("a", "NA", "b")])
def test_rows_that_are_no_facts_stop_the_run_or_are_counted(join, row):
    documents = [small_document("d", ["a", "b"])]
    with pytest.raises(
        FineCLError, match=r"1 of 2 rows lack a head, .*or their relation is \"NA\", .* --skip_invalid"
    ):
        join(documents, [("a", "r", "b"), row])
    statistics, labels = join(documents, [("a", "r", "b"), row], skip_invalid=True)
    assert labels == [(0, 0, 1, "r")] and statistics.rows_skipped == 1
    with pytest.raises(FineCLError, match="1 of 1 rows lack .*; mend them.$"):
        join(documents, [row], skip_invalid=True)


def test_names_have_the_same_key_in_sql():
    """Every character, alone and within a word."""
    characters = [chr(i) for i in range(1, 0x110000) if not 0xD800 <= i < 0xE000]
    names = [*characters, *(f"A{character} B" for character in characters[:0x3000]), "ΟΔΟΣ", "a \t b", "", " "]
    with duckdb.connect() as connection:
        connection.execute(_MACROS)
        keys = connection.execute("SELECT name_key(unnest(?::VARCHAR[]))", [names]).fetchall()
    differ = [name for name, (key,) in zip(names, keys, strict=True) if key != name_key(name)]
    assert not [hex(ord(name[0])) for name in differ if name.isprintable()]  # not yet assigned where not printable
