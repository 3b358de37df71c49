"""Facts of held-out entity pairs leave the documents; names are compared by their keys."""

from copy import deepcopy

from finecl_hf.data.held_out import HeldOutPairs, name_key
from tests.helpers.held_out import exclude
from tests.helpers.small_documents import small_document as _document
from tests.helpers.small_documents import triples as _triples


def test_exclude_drops_pairs_of_held_out_facts_whatever_the_relation():
    documents = [_document("d", [["Ada", "Lovelace"], "London", "Paris"], [(0, 1, "r"), (1, 0, "q"), (0, 2, "r")])]
    held_out = [_document("h", ["LOVELACE", "london", "paris"], [(0, 1, "another")])]
    before = deepcopy(documents)
    kept, removed = exclude(documents, held_out)
    assert removed == 1 and _triples(kept[0]) == [(1, 0, "q"), (0, 2, "r")]
    assert documents == before


def test_pairs_of_a_document():
    held_out = HeldOutPairs([_document("test", ["Ada", "London"], [(0, 1, "r")])])
    document = _document("d", ["LONDON", "Oslo", ["Augusta", "ada"]])
    assert held_out.pairs_of(document) == [(2, 0)]
    assert HeldOutPairs().pairs_of(document) == []


def test_exclude_takes_all_pairs_of_unlabelled_documents():
    documents = [_document("d", ["Ada", "London", "Paris"], [(0, 1, "r"), (1, 0, "q"), (0, 2, "r")])]
    kept, removed = exclude(documents, [_document("h", ["ada", "london"], [], labelled=False)])
    assert removed == 2 and _triples(kept[0]) == [(0, 2, "r")]


def test_exclude_leaves_no_false_na_where_pairs_are_explicit():
    sentence = _document("s", ["a", "b"], [(0, 1, "r")], pairs=[(0, 1)])
    other = _document("o", ["a", "b", "c"], [(0, 1, "r"), (1, 2, "q")], pairs=[(0, 1), (1, 2)])
    negative = _document("n", ["x", "y"], [], pairs=[(0, 1)])
    kept, removed = exclude([sentence, other, negative], [sentence])
    assert removed == 2
    assert [(document.title, document.pairs) for document in kept] == [("o", [(1, 2)]), ("n", [(0, 1)])]


def test_held_out_pairs_are_shared_by_several_calls():
    documents = [_document("d", ["Ada", "London", "Paris"], [(0, 1, "r"), (0, 2, "r")])]
    held_out = HeldOutPairs([_document("h", ["ADA", "london"], [(0, 1, "x")])])
    held_out.add(_document("i", ["b", "c"], labelled=False))
    assert len(held_out) == 3  # a pair of a fact; both directions of an unlabelled document
    assert exclude(documents, held_out) == exclude(documents, held_out)
    (kept,), removed = exclude(documents, held_out)
    assert removed == 1 and _triples(kept) == [(0, 2, "r")]
    assert HeldOutPairs().strip(documents[0]) == (documents[0], 0)


def test_names_are_compared_without_case_white_space_and_composition():
    assert name_key("  Ada\u00a0 LOVELACE\n") == "ada lovelace"
    assert name_key("Ame\u0301lie") == name_key("AM\u00c9LIE") == "am\u00e9lie"
    assert name_key("\u039f\u0394\u039f\u03a3") == name_key("\u03bf\u03b4\u03bf\u03c2")  # a final sigma
    assert name_key("\u0130zmir") == name_key("izmir")
    assert len({name_key(name) for name in ("St. Ives", "St Ives", "the St. Ives", "St. Iv\u00e8s")}) == 4
