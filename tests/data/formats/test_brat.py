"""brat's files: a text, and its annotations."""

import random

import pytest

from finecl_hf.data.readers import iter_documents, read_documents, write_documents
from finecl_hf.errors import DocumentError


TEXT = "Ada Byron left  Graz.\nShe met Bo and\nCy Dee there: Velora Labs and Works."
ANNOTATIONS = (
    "T2\tLOC 16 20\tGraz\n"
    "T1\tPER 0 9\tAda Byron\n"
    "T3\tPER 22 25\tShe\n"
    "T4\tPER 37 43\tCy Dee\n"
    "T5\tORG 51 57;67 72\tVelora Works\n"
    "T6\t_ 33 39\tand Cy\n"
    "R1\tborn%20in Arg1:T1 Arg2:T2\t\n"
    "R2\tknows Knower:T3 Known:T4\n"
    "R3\tcauses Arg1:E1 Arg2:T4\n"
    "*\tEquiv T1 T3\n"
    "N1\tReference T2 Wikidata:Q13298\tGraz\n"
    "N2\tReference T1 MESH:D1\tAda\n"
    "E1\tMeet:T6 Who:T3\n"
    "A1\tNegated R2\n"
    "#1\tAnnotatorNotes T1\ta note\n"
)


def write(folder, annotations=ANNOTATIONS, name="a", text=TEXT):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.txt").write_text(text, newline="")
    (folder / f"{name}.ann").write_text(annotations, newline="")
    return folder / f"{name}.ann"


@pytest.mark.parametrize("named", ["a.ann", "a.txt", ""])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_pair_of_files(named, newline, tmp_path, caplog):
    write(tmp_path / "corpus", ANNOTATIONS.replace("\n", newline))
    (document,) = read_documents(tmp_path / "corpus" / named)
    assert document.title == "a" and document.text == TEXT
    assert [[(mention.name, mention.type, mention.kb_id) for mention in entity] for entity in document.entities] == [
        [("Graz", "LOC", "Q13298")],
        [("Ada Byron", "PER", "MESH:D1"), ("She", "PER", "")],
        [("Cy Dee", "PER", "")],
        [("Velora Labs and Works", "ORG", "")],
        [("and\nCy", "", "")],
    ]
    facts = [(fact.head, fact.relation, fact.tail) for fact in document.relations]
    assert facts == [(1, "born in", 0), (1, "knows", 2)]
    assert len(document.sentences) == 2  # no sentence ends in a mention
    for told in ("1 attributes, 1 events, 1 mentions in pieces", "1 notes, 1 relations of events"):
        assert told in caplog.text


def test_lines_end_sentences_and_characters_are_counted(tmp_path):
    path = write(tmp_path, "T1\tX 6 9\tBo\n", text="Ä 😀\r\n Bo x\nends")
    (document,) = read_documents(path)
    assert [" ".join(words) for words in document.sentences] == ["Ä 😀", "Bo x", "ends"]
    assert document.entities[0][0].name == "Bo"


def test_a_folder_is_one_corpus(tmp_path, caplog):
    write(tmp_path, name="b%2Fc%zz")
    write(tmp_path, "", name="a", text="")
    (tmp_path / "README.txt").write_text("of the corpus")
    (tmp_path / "c.ann").write_text("")
    (tmp_path / "d.ann").write_bytes(b"\xff")
    first, second, *errors = iter_documents(tmp_path)
    assert (first.title, first.sentences) == ("a", []) and second.title == "b/c%zz"
    assert "1 texts without annotations" in caplog.text
    for error, told in zip(errors, ("c.ann: .*their text, c.txt, is not beside them", "d.ann: .*UTF-8"), strict=True):
        with pytest.raises(DocumentError, match=told):
            raise error


def test_annotations_are_told_by_what_they_say(tmp_path):
    write(tmp_path).rename(tmp_path / "a.a1")
    assert len(read_documents(tmp_path / "a.a1")) == 1
    (tmp_path / "a.txt").rename(tmp_path / "b.txt")
    with pytest.raises(DocumentError, match="brat's annotations, and their text, a.txt, is not"):
        read_documents(tmp_path / "a.a1")


@pytest.mark.parametrize(
    "line, told",
    [
        ("T1\tPER 0 3\tAda", "line 2: the mention T1 stands there twice"),
        ("T2\tPER 0 4\tByron", r'line 2: \[0, 4\) reads "Ada ", but the mention is "Byron"'),
        ("T2\tPER 0 400\tByron", "line 2: .*leaves the text"),
        (f"T2\tPER 0 {'9' * 5000}\tByron", "line 2: .*is no mention"),
        ("T2\tPER 4 3", "line 2: .*reversed"),
        ("T2 PER 0 3 Ada", "line 2: .*is no mention"),
        ("R1\tknows T1 T1", "line 2: `R1.*is no mention.*, relation"),
        ("R1\tknows Arg1:T1 Arg2:T9", 'line 2: the relation knows is about "T9"'),
        ("R1\tNone Arg1:T1 Arg2:T1", 'line 2: "None" is no relation'),
        ("*\tEquiv T1 T9", "line 2: there is no mention T9"),
        ("N1\tReference T9 a:b", "line 2: there is no mention T9"),
        ("free text", "line 2: `free text` is no"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(line, told, tmp_path):
    (error,) = iter_documents(write(tmp_path, f"T1\tPER 0 3\tAda\n{line}\n"))
    with pytest.raises(DocumentError, match=told):
        raise error


def test_any_title_type_and_identifier_comes_back(tmp_path, ada):
    titles = [
        "a/b\\c",
        "..",
        "CON",
        "con",
        "Con.",
        " x ",
        "50%",
        "%41",
        "A",
        "a",
        "É",
        "e\u0301",
        "é",
        "北京?",
        "a\nb\0",
    ]
    draw = random.Random(1)
    titles += {"".join(draw.choices("aAéÉ%4/. ", k=draw.randint(1, 4))) for _ in range(40)} - {"a", "A", *titles}
    kinds, ids = ["", "_", "a b", "50%20", "T\t1"], ["Q42", "a b:c", "Wikidata:x", "KB:", ":", "KB:Q1", "a:b:c"]
    documents = []
    for i, title in enumerate(titles):
        raw = {**ada.to_dict(), "title": title, "text": None}
        raw["vertexSet"] = [[{**mention, "type": kinds[i % 5], "kb_id": ids[i % 7]} for mention in entity]
                            for entity in raw["vertexSet"]]  # fmt: skip
        raw["labels"][0]["r"] = kinds[i % 5] or "x"
        documents.append(type(ada).from_dict(raw))
    write_documents(documents, tmp_path / "out", format="brat")
    names = {path.name.casefold() for path in (tmp_path / "out").iterdir()}
    assert len(names) == 2 * len(titles)
    again = {document.title: document for document in read_documents(tmp_path / "out")}
    assert again.keys() == {*titles}
    for document in documents:
        same = again[document.title]
        assert same.entities == document.entities and same.sentences == document.sentences
        assert [fact.relation for fact in same.relations] == [fact.relation for fact in document.relations]


def test_a_folder_with_files_is_not_written_over(tmp_path, ada, curie):
    (tmp_path / "out").mkdir()
    write_documents([ada], tmp_path / "out", format="brat")
    for documents, path, told in (
        ([curie], tmp_path / "out", "a folder of their own; name a new one"),
        ([curie], tmp_path / "out" / "Ada.txt", "a folder of their own"),
        ([ada, ada], tmp_path / "new", "another document has the same title"),
    ):
        with pytest.raises(DocumentError, match=told):
            write_documents(documents, path, format="brat")
    ada.title = "é" * 150
    with pytest.raises(DocumentError, match="too long"):
        write_documents([ada], tmp_path / "new", format="brat")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert [document.title for document in read_documents(tmp_path / "out")] == ["Ada"]


def test_sentences_that_will_end_elsewhere_are_counted(tmp_path, ada, caplog):
    raw = {"title": "t", "sents": [["Ada", ".", "She", "ran", "."]], "vertexSet": [], "text": "Ada. She ran."}
    write_documents([ada, type(ada).from_dict(raw)], tmp_path / "out", format="brat")
    assert "the sentences of 1 documents will end elsewhere" in caplog.text
