"""Triples stand where they say, once each."""

from dataclasses import replace

from finecl_hf.data.spans import text_of
from finecl_hf.extraction.triples import Places, merged_triples


def triple(head, relation, tail, score, **more):
    return {"h_idx": head, "relation": relation, "t_idx": tail, "score": score, **more}


def test_duplicates_are_one_with_all_their_evidence():
    found = merged_triples(
        [triple(0, "x", 1, 0.2, evidence=[3]), triple(0, "x", 1, 0.9, evidence=[1]), triple(1, "x", 0, 0.5)]
    )
    assert found == [triple(0, "x", 1, 0.9, evidence=[1, 3]), triple(1, "x", 0, 0.5)]


def test_both_directions_of_a_directed_label_are_one():
    found = merged_triples(
        [triple(0, "C(e2,e1)", 1, 0.4), triple(1, "C(e1,e2)", 0, 0.6), triple(0, "C(e1,e2)", 1, 0.3)]
    )
    assert found == [triple(1, "C(e1,e2)", 0, 0.6), triple(0, "C(e1,e2)", 1, 0.3)]


def read(document, found):
    text = text_of(document)[0]
    return tuple(text[slice(*found[name])] for name in ("head_span", "tail_span"))


def test_the_nearest_mentions_and_their_sentences(ada):
    places = Places(ada)
    one = places.add_to(triple(0, "x", 3, 0.5))
    assert read(ada, one) == ("Lovelace", "Charles Babbage") and one["evidence"] == [1]
    text = text_of(ada)[0]
    assert [text[start:end] for start, end in one["evidence_spans"]] == ["Lovelace worked with Charles Babbage ."]
    apart = places.add_to(triple(1, "x", 3, 0.5))
    assert read(ada, apart) == ("London", "Charles Babbage") and apart["evidence"] == [0, 1]
    told = places.add_to(triple(0, "x", 3, 0.5, evidence=[0]))
    assert read(ada, told) == ("Ada Lovelace", "Charles Babbage") and told["evidence"] == [0]


def test_offsets_are_those_of_the_text_that_was_given(ada):
    text = "Ada  Lovelace was born in London, the capital of\nEngland. Lovelace worked with Charles Babbage."
    ada = replace(ada, text=text)
    assert read(ada, Places(ada).add_to(triple(0, "x", 2, 0.5))) == ("Ada  Lovelace", "England")
