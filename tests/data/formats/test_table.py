"""Tables of sentences, as spreadsheets and other programs write them."""

import json
import re

import pytest

from finecl_hf.data.readers import iter_documents, read_documents, write_documents
from finecl_hf.errors import DocumentError, FineCLError
from tests.helpers.format_examples import sheet
from tests.helpers.random_documents import random_document


def made(tmp_path, text, name="a.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def said(document):
    """Words of head and tail, and the relation."""
    head, tail = (document.mention_text(entity[0]) for entity in document.entities)
    return head, tail, document.label


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline, mark", [("\n", ""), ("\r\n", "\ufeff")])
@pytest.mark.parametrize(
    "header", ["sentence head tail relation", "Text Subject OBJECT label", "sent e1 e2 predicate"]
)
def test_columns_are_told_by_their_names(sign, newline, mark, header, tmp_path):
    rows = [header.split(), ["Ada met Babbage.", "ada", "Babbage", "knows"], ["Ada left.", "Ada", "left", ""]]
    text = mark + newline.join(sign.join(row) for row in rows) + newline
    documents = read_documents(made(tmp_path, text, "a.txt"))
    assert list(map(said, documents)) == [("Ada", "Babbage", "knows"), ("Ada", "left", "NA")]
    assert documents[1].labelled and documents[0].pairs == [(0, 1)]


def test_a_table_without_relations_is_unlabelled(tmp_path):
    (document,) = read_documents(made(tmp_path, "sentence,head,tail\nAda met Bo.,Ada,Bo\n"))
    assert not document.labelled


def test_names_are_found_as_whole_words_first(tmp_path):
    rows = [
        "sentence,head,tail",
        "Adam told Ada of us in the US.,Ada,US",
        "Ada met Ada.,ada,ADA",
        "xAday Bob.,ada,Bob",
    ]
    first, second, third = read_documents(made(tmp_path, "\n".join(rows)))
    assert said(first)[:2] == ("Ada", "US") and first.entities[0][0].start == 2
    assert [entity[0].start for entity in second.entities] == [0, 2]
    assert said(third)[0] == "Ada"


def test_cells_in_quotes_hold_anything(tmp_path):
    text = 'sentence,head,tail,id\n"Ada, who\nmet ""Bo"".",Ada,Bo,7\n'
    (document,) = read_documents(made(tmp_path, text))
    assert document.text == 'Ada, who\nmet "Bo".' and document.title == "7"


def test_tabs_need_no_quoting(tmp_path):
    text = 'sentence\thead\ttail\n"Hello," Ada said to Bo.\tAda\tBo\n"Ada met Bo."\tAda\tBo\n'
    first, second = read_documents(made(tmp_path, text, "a.tsv"))
    assert first.text == '"Hello," Ada said to Bo.' and second.text == "Ada met Bo."


def test_all_columns(tmp_path):
    header = (
        "id,sentence,head_start,head_end,tail_start,tail_end,head_type,tail_type,head_id,tail_id,relation,source,score"
    )
    (document,) = read_documents(made(tmp_path, f"{header}\ns1,Ada met Ada.,8,11,0,3,PER,P,Q1,Q2,knows,model,0.5\n"))
    head, tail = (entity[0] for entity in document.entities)
    assert (head.start, head.type, head.kb_id, tail.start, tail.type, tail.kb_id) == (2, "PER", "Q1", 0, "P", "Q2")
    assert (document.title, document.relations[0].source, document.relations[0].score) == ("s1", "model", 0.5)


def test_columns_are_named_by_hand(tmp_path):
    path = made(tmp_path, "Satz;Kopf;Ende;text;Rel\nAda met Bo.;Ada;Bo;other;knows\n", "a.txt")
    columns = {"sentence": "Satz", "head": "Kopf", "tail": "Ende", "relation": "Rel"}
    assert said(read_documents(path, columns=columns)[0]) == ("Ada", "Bo", "knows")
    unnamed = {**columns, "relation": ""}
    assert not read_documents(path, columns=unnamed)[0].labelled
    with pytest.raises(DocumentError, match="no column head, sentence, tail; found Satz, Kopf, Ende"):
        read_documents(made(tmp_path, "Satz;Kopf;Ende\na;b;c\n"))
    with pytest.raises(FineCLError, match='"x" is none of sentence, head'):
        read_documents(path, columns={"x": "y"})


def test_a_source_without_the_columns_that_are_named_is_told(tmp_path, ada, caplog):
    named = {"sentence": "Satz", "head": "Kopf", "tail": "Ende"}
    read_documents(made(tmp_path, "Satz;Kopf;Ende\nAda met Bo.;Ada;Bo\n"), columns=named)
    assert not caplog.messages
    other = made(tmp_path, json.dumps([ada.to_dict()]), "docred.json")
    assert read_documents(other, columns=named) == [ada]
    assert '1 records without the columns that are named ("sentence=Satz head=Kopf' in caplog.text


def test_rows_of_json_and_parquet_are_tables_too(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"sentence": "Ada met Bo.", "head": "Ada", "tail": "Bo", "label": "knows", "score": 1}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    json = made(
        tmp_path, '[{"sentence": "Ada met Bo.", "head": "Ada", "tail": "Bo", "label": "knows", "score": 1}]', "a.json"
    )
    assert read_documents(tmp_path / "a.parquet") == read_documents(json)
    assert said(read_documents(json)[0]) == ("Ada", "Bo", "knows")


def test_the_first_sheet_with_cells_is_read(tmp_path):
    rows = [["sentence", "head", "tail", "relation", None], [], ["Ada met 7.", "Ada", 7, "knows", "x"]]
    (tmp_path / "a.xlsx").write_bytes(sheet(rows))
    assert said(read_documents(tmp_path / "a.xlsx")[0]) == ("Ada", "7", "knows")


@pytest.mark.parametrize(
    "row, told",
    [
        ("Ada met Bo.,Ada,Tim", 'row 2, tail: "Tim" does not stand in the sentence;'),
        ("Ada met Bo.,Ada,ada", 'row 2, tail: "ada" does not stand in the sentence a second time'),
        ("Ada met Bo.,,Bo", "row 2, head: the name of the argument is missing"),
        ("Ada, met Bo.,Ada,Bo", "row 2: has 4 cells, the header 3"),
        (" ,Ada,Bo", "row 2, sentence: the sentence is empty"),
        ('"Ada met Bo.,Ada,Bo', "row 2: cannot be split into cells .*a quotation mark opens"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(row, told, tmp_path):
    (error,) = iter_documents(made(tmp_path, f"sentence,head,tail\n{row}\n"))
    assert isinstance(error, DocumentError) and re.search(told, str(error))


@pytest.mark.parametrize(
    "cells, told",
    [("0,5", "head_start: .*reads"), ("x,3", "head_start: expected an integer"), ("0,99999", "leaves the text"),
     ("3,0", "is reversed"), ("0,1e9", "head_end: expected an integer")],
)  # fmt: skip
def test_wrong_offsets_are_said(cells, told, tmp_path):
    (error,) = iter_documents(made(tmp_path, f"sentence,head,tail,head_start,head_end\nAda met Bo.,Ada,Bo,{cells}\n"))
    assert re.search(f"row 2, .*{told}", str(error))


def test_other_tables_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(DocumentError, match="table of triples .* project --knowledge_base"):
        read_documents(made(tmp_path, "head,relation,tail\nada,P1,bo\n"))
    with pytest.raises(DocumentError, match="carriage return alone"):
        read_documents(made(tmp_path, "sentence,head,tail\rAda met Bo.,Ada,Bo\r"))
    with pytest.raises(DocumentError, match="no Excel workbook"):
        read_documents(made(tmp_path, "sentence,head,tail\n", "a.xlsx"))


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.xlsx"])
def test_odd_cells_come_back(name, tmp_path):
    documents = [random_document(seed, True) for seed in (2, 4, 6, 8)]
    for document, text in zip(documents, ['=1+1 "a"', '"a\tb', "a\nb,", "3.5"], strict=True):
        document.text = f"{text} met Bo"
        document.sentences = [[text, "met", "Bo"]]
        document.entities = [[m] for m in (document.entities[0][0], document.entities[1][0])]
        for (mention,), (start, end) in zip(document.entities, ((0, 1), (2, 3)), strict=True):
            mention.start, mention.end = start, end
    write_documents(documents, tmp_path / name, format="table")
    again = read_documents(tmp_path / name)
    assert [document.text for document in again] == [document.text for document in documents]
    assert [document.relations for document in again] == [
        [f if not f.evidence else type(f)(f.head, f.tail, f.relation, [], f.source, f.score) for f in d.relations]
        for d in documents
    ]


def test_labelled_and_unlabelled_sentences_do_not_mix(tmp_path):
    documents = [random_document(seed, True) for seed in (2, 4)]
    documents[0].relations, documents[0].labelled = [], False
    with pytest.raises(DocumentError, match="the document has labels, unlike those before it"):
        write_documents(documents, tmp_path / "a.csv", format="table")
    write_documents(documents[:1], tmp_path / "a.csv", format="table")
    assert not read_documents(tmp_path / "a.csv")[0].labelled
