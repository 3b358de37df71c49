"""Projection from files to files: documents in order, leakage filter, report, and nothing written after a mistake."""

import json
import logging
from dataclasses import replace

import pytest

from finecl_hf.data.readers import read_documents, write_documents
from finecl_hf.distant.projection import ProjectionOptions, project_files
from finecl_hf.errors import FineCLError
from tests.helpers.small_documents import small_document, triples


KNOWLEDGE = small_document("kb", ["Ada", "London", "England"], [(0, 1, "born"), (0, 1, "died"), (1, 2, "capital of")])
DOCUMENTS = [
    small_document("first", ["nobody", "nowhere"], [(0, 1, "old")]),
    small_document("second", ["ADA", "london ", "England"], labelled=False),
    small_document("third", ["England", "London"]),
    small_document("fourth", ["Ada", "London"], pairs=[(0, 1)]),
]


@pytest.fixture(params=["documents", "table"])
def project(request, tmp_path):
    """A function: options -> report and silver documents; by labelled documents and by a table of the same facts."""
    write_documents(DOCUMENTS, tmp_path / "in.jsonl")
    write_documents([KNOWLEDGE], tmp_path / "kb.json")
    (tmp_path / "kb.tsv").write_text("Ada\tborn\tLondon\nAda\tdied\tLondon\nLondon\tcapital of\tEngland\n")
    kb = str(tmp_path / ("kb.json" if request.param == "documents" else "kb.tsv"))

    def run(documents=str(tmp_path / "in.jsonl"), **options):
        report = project_files(documents, kb, str(tmp_path / "out.jsonl"), ProjectionOptions(**options))
        assert not list(tmp_path.glob(".*")), "a temporary file is left behind"
        return report, read_documents(tmp_path / "out.jsonl")

    return run


@pytest.fixture
def held_out(tmp_path):
    """A test file that holds out (Ada, London)."""
    write_documents([small_document("test", ["ada", "london"], [(0, 1, "lived in")])], tmp_path / "test.json")
    return str(tmp_path / "test.json")


def test_documents_come_back_in_order_with_their_labels(project):
    report, silver = project()
    assert [document.title for document in silver] == ["first", "second", "third", "fourth"]
    assert [triples(document) for document in silver] == [
        [],
        [(0, 1, "born"), (0, 1, "died"), (1, 2, "capital of")],
        [(1, 0, "capital of")],
        [(0, 1, "born"), (0, 1, "died")],
    ]
    assert silver == [
        replace(document, labelled=True, relations=new.relations)
        for document, new in zip(DOCUMENTS, silver, strict=True)
    ]
    assert report.labels == {"born": 2, "died": 2, "capital of": 2}


def test_the_report_counts_what_it_says(project, tmp_path):
    report, _ = project()
    shown = report.to_dict({"born": "place of birth"})
    base = shown.pop("knowledge_base")
    assert shown == {
        "documents": 4, "labelled_documents": 3, "written_documents": 4, "entities": 9, "covered_entities": 7,
        "pairs": 11, "covered_pairs": 4, "excluded_labels": 0, "covered_entity_share": 0.777778,
        "covered_pair_share": 0.363636, "found_name_share": 0.6, "labels": 6,
        "relations": [
            {"relation": "born", "name": "place of birth", "labels": 2},
            {"relation": "capital of", "name": "capital of", "labels": 2},
            {"relation": "died", "name": "died", "labels": 2},
        ],
    }  # fmt: skip
    assert base == {
        "match": "name", "names": 5, "names_found": 3, "rows": 3, "rows_skipped": 0, "rows_used": 3, "facts": 3,
        "ambiguous_pairs": 1, "ambiguous_names": 0, "top_names": [],
        "top_pairs": [{"head": "ada", "tail": "london", "relations": ["born", "died"], "entity_pairs": 2}],
    }  # fmt: skip
    report.write(tmp_path / "report.json", {"born": "place of birth"})
    assert json.loads((tmp_path / "report.json").read_text()) == {**shown, "knowledge_base": base}
    text = report.to_text({"born": "place of birth"})
    assert "4 of 11 (36.4%) entity pairs" in text and '2 entity pairs "ada" -> "london": place of birth, died' in text
    assert "       2 born (place of birth)" in text


def test_leakage_filter_and_documents_without_labels(project, held_out):
    report, silver = project(exclude_files=[held_out, held_out], drop_unlabelled=True)
    assert report.excluded_labels == 4 and report.covered_pairs == 4  # covered is what the knowledge base covers
    assert [(document.title, triples(document)) for document in silver] == [
        ("second", [(1, 2, "capital of")]), ("third", [(1, 0, "capital of")]),
    ]  # fmt: skip
    report, silver = project(exclude_files=[held_out])
    assert [document.title for document in silver] == ["first", "second", "third"]  # no judged pair is left in fourth
    assert (report.documents, report.labelled_documents, report.written_documents) == (4, 2, 3)


def test_chosen_relations(project):
    report, silver = project(relations=["capital of", "unheard of"])
    assert report.labels == {"capital of": 2}
    assert report.join.names_found == 3 and report.join.rows_used == 1


def test_invalid_documents_stop_the_run_or_are_left_out(project, tmp_path, caplog):
    records = [DOCUMENTS[1].to_dict(), {"title": "broken"}, DOCUMENTS[2].to_dict()]
    (tmp_path / "bad.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(FineCLError, match=r'document 1 \("broken"\)'):
        project(str(tmp_path / "bad.jsonl"))
    assert not (tmp_path / "out.jsonl").exists()
    with caplog.at_level(logging.WARNING):
        _, silver = project(str(tmp_path / "bad.jsonl"), skip_invalid=True)
    assert [len(document.relations) for document in silver] == [3, 1]
    assert len(caplog.records) == 1 and "1 of 3 documents is invalid" in caplog.text


@pytest.mark.parametrize("drop", [False, True])
def test_nothing_is_written_where_nothing_matches(project, tmp_path, drop):
    write_documents([small_document("d", ["Boole", "London"])], tmp_path / "other.json")
    (tmp_path / "out.jsonl").write_text("old")
    with pytest.raises(FineCLError, match=r"kb\.\w+: labels no entity pair of .*other.json; of its 2 names, 1 stand"):
        project(str(tmp_path / "other.json"), drop_unlabelled=drop)
    with pytest.raises(FineCLError, match="; check .*--relations"):
        project(relations=["unheard of"])
    write_documents([KNOWLEDGE], tmp_path / "test.json")
    with pytest.raises(
        FineCLError, match="no label is left, because --exclude_file holds out the entity pairs of all"
    ):
        write_documents([replace(KNOWLEDGE, labelled=False, relations=[])], tmp_path / "test.json")
        project(exclude_files=[str(tmp_path / "test.json")] * 2 + [_reversed(tmp_path)])
    assert (tmp_path / "out.jsonl").read_text() == "old"


def _reversed(folder):
    write_documents([small_document("r", ["England", "London"], labelled=False)], folder / "reversed.json")
    return str(folder / "reversed.json")


@pytest.mark.parametrize("extension", ["json", "json.gz", "parquet"])
def test_every_output_format(extension, tmp_path):
    write_documents(DOCUMENTS, tmp_path / "in.jsonl")
    (tmp_path / "kb.tsv").write_text("Ada\tborn\tLondon\n")
    out = tmp_path / "made" / f"out.{extension}"
    report = project_files(str(tmp_path / "in.jsonl"), [str(tmp_path / "kb.tsv")], str(out))
    assert [len(document.relations) for document in read_documents(out)] == [0, 1, 0, 1] and report.labels.total() == 2
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"columns": ["a", "b", "c"]}, "kb.json: --columns is for triple tables, and this file is read as documents"),
        ({"aliases": "x"}, "--aliases x: there is no such file"),
        ({"match": "id"}, "kb_id.*--match name"),
        ({"format": "parquet"}, "kb.json: the file cannot be read as parquet"),
    ],
)
def test_options_that_do_not_fit_the_knowledge_base(options, message, tmp_path):
    write_documents([KNOWLEDGE], tmp_path / "kb.json")
    with pytest.raises(FineCLError, match=message):
        project_files(str(tmp_path / "kb.json"), str(tmp_path / "kb.json"), str(tmp_path / "out.json"),
                      ProjectionOptions(**options))  # fmt: skip


def test_mistakes_about_places(tmp_path):
    write_documents(DOCUMENTS, tmp_path / "in.jsonl")
    (tmp_path / "kb.tsv").write_text("Ada\tborn\tLondon\n")
    for out, message in [("out.csv", "the name must end in"), ("kb.tsv/out.json", "its folder cannot be made")]:
        with pytest.raises(FineCLError, match=message):
            project_files(str(tmp_path / "in.jsonl"), str(tmp_path / "kb.tsv"), str(tmp_path / out))
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(FineCLError, match="folder.json: may not be written"):
        project_files(str(tmp_path / "in.jsonl"), str(tmp_path / "kb.tsv"), str(tmp_path / "folder.json"))
    with pytest.raises(FineCLError, match="--ambiguous drop: .*--aliases"):
        project_files(str(tmp_path / "in.jsonl"), str(tmp_path / "kb.tsv"), str(tmp_path / "out.json"),
                      ProjectionOptions(ambiguous="drop"))  # fmt: skip
    with pytest.raises(FineCLError, match="--temp_dir .*nowhere: there is no such folder"):
        project_files(str(tmp_path / "in.jsonl"), str(tmp_path / "kb.tsv"), str(tmp_path / "out.json"),
                      ProjectionOptions(temp_dir=str(tmp_path / "nowhere")))  # fmt: skip


@pytest.mark.parametrize("name", ["kb", "kb/*.tsv", "kb/[ab].tsv"])
def test_the_files_of_a_table_as_a_folder_or_a_pattern(name, tmp_path):
    write_documents(DOCUMENTS, tmp_path / "in.jsonl")
    (tmp_path / "kb").mkdir()
    (tmp_path / "kb" / "a.tsv").write_text("Ada\tborn\tLondon\n")
    (tmp_path / "kb" / "b.tsv").write_text("London\tcapital of\tEngland\n")
    report = project_files(str(tmp_path / "in.jsonl"), str(tmp_path / name), str(tmp_path / "out.jsonl"))
    assert set(report.labels) == {"born", "capital of"}


def test_labelled_documents_as_a_folder(tmp_path):
    write_documents(DOCUMENTS, tmp_path / "in.jsonl")
    write_documents([KNOWLEDGE], tmp_path / "kb" / "one.json")
    report = project_files(str(tmp_path / "in.jsonl"), str(tmp_path / "kb"), str(tmp_path / "out.jsonl"))
    assert set(report.labels) == {"born", "died", "capital of"}


@pytest.mark.parametrize(
    "relation", ["born\tin", "born\nin", "http://www.wikidata.org/prop/direct/P19", "wdt:P17", "a/b"]
)
@pytest.mark.parametrize("name", ["Ada", "http://x.org/0/a", "Q42"])
def test_labelled_documents_keep_their_relations_and_names(relation, name, tmp_path):
    known = small_document("kb", [name, "London"], [(0, 1, relation)])
    known.entities[0].append(replace(known.entities[0][0], name=""))
    write_documents([known], tmp_path / "kb.json")
    report = project_files(str(tmp_path / "kb.json"), str(tmp_path / "kb.json"), str(tmp_path / "out.json"))
    assert dict(report.labels) == {relation: 1}
