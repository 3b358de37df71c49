"""The relation model in a spaCy pipeline."""

import pytest

from finecl_hf.errors import FineCLError
from tests.extraction.test_pipeline import build


pytestmark = pytest.mark.slow  # spaCy takes its time to be imported
TEXTS = ["Marie Curie was born in Warsaw.", "Nothing.", "Alan Turing left London."]


@pytest.fixture
def nlp(bert_folder, tmp_path):
    spacy = pytest.importorskip("spacy")
    import finecl_hf.extraction.spacy_component  # noqa: F401

    build(bert_folder, tmp_path / "extractor")
    nlp = spacy.blank("en")
    names = {"Marie Curie": "PER", "Alan Turing": "PER", "Warsaw": "LOC", "London": "LOC"}
    nlp.add_pipe("entity_ruler").add_patterns([{"label": kind, "pattern": name} for name, kind in names.items()])
    nlp.add_pipe("finecl", config={"model": str(tmp_path / "extractor"), "threshold": -1e9, "batch_size": 2})
    return nlp


def read(doc):
    return [(r["head_span"].text, r["relation"], r["tail_span"].text, round(r["score"], 4)) for r in doc._.relations]


def test_relations_are_spans_one_by_one_and_in_a_pipe(nlp, tmp_path):
    spacy = pytest.importorskip("spacy")
    one = [read(nlp(text)) for text in TEXTS]
    assert ("Marie Curie", "born in", "Warsaw") in [row[:3] for row in one[0]] and one[1] == []
    assert [read(doc) for doc in nlp.pipe(TEXTS * 3, batch_size=4)] == one * 3
    doc = nlp(TEXTS[0])
    assert read(spacy.tokens.Doc(nlp.vocab).from_bytes(doc.to_bytes())) == one[0]
    nlp.to_disk(tmp_path / "saved")
    (tmp_path / "extractor").rename(tmp_path / "gone")
    assert [read(doc) for doc in spacy.load(tmp_path / "saved").pipe(TEXTS)] == one


def test_a_missing_model_is_a_sentence(nlp):
    for config, words in (
        ({}, "has no model; name one"),
        ({"model": "no/such/model"}, "no/such/model: no such folder"),
    ):
        nlp.remove_pipe("finecl")
        nlp.add_pipe("finecl", config=config)
        with pytest.raises(FineCLError, match=words):
            nlp(TEXTS[0])
