"""What readers leave out, counted and said."""

from finecl_hf.data.notes import Notes, counted


def test_one_is_not_several():
    assert [counted(count, "fact") for count in (0, 1, 1234)] == ["0 facts", "1 fact", "1,234 facts"]
    assert [counted(count, "entity", "entities") for count in (1, 2)] == ["1 entity", "2 entities"]


def test_counts_and_the_most_frequent_texts_are_said():
    notes = Notes([("labels without a name", "b"), ("labels without a name", "a"), ("labels without a name", "a")])
    notes.add("empty rows", "row 3", count=1_000)
    assert str(notes) == '1,000 empty rows ("row 3" 1,000); 3 labels without a name ("a" 2, "b" 1)'
    assert notes.to_dict()["labels without a name"] == {"count": 3, "most_frequent": {"a": 2, "b": 1}}
    assert str(Notes()) == "" and Notes().to_dict() == {}


def test_several_are_joined():
    notes = Notes([("x", "a")])
    notes.update(Notes([("x", "a"), ("x", "b"), ("y", "c")]))
    assert dict(notes.counts) == {"x": 3, "y": 1} and str(notes).startswith('3 x ("a" 2, "b" 1)')


def test_what_is_said_can_be_printed_and_stays_short():
    """A file may hold half a character, a page without a space, or a million kinds of label."""
    notes = Notes(("x", f"{number} \ud800\n" + "y" * 500) for number in range(20_000))
    said = str(notes)
    said.encode()
    assert said.startswith("20,000 x") and said.endswith("...)") and "\n" not in said and len(said) < 300
