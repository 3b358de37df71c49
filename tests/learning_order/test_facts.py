"""Chunks of facts give the same learning order as document after document, whatever is a chunk."""

from dataclasses import replace

import numpy as np
import pytest

from finecl_hf.data.corpus import fact_columns, load_corpus
from finecl_hf.data.readers import write_documents
from finecl_hf.learning_order import facts as fact_chunks
from finecl_hf.learning_order.facts import chunks_of, fact_ids, order_columns
from finecl_hf.learning_order.plausibility import PlausibilityCounts
from finecl_hf.learning_order.table import LearningOrder
from tests.learning_order.test_plausibility import counted, random_documents


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("pairs", [False, True])
def test_any_chunks_give_the_same_order(size, pairs, monkeypatch):
    monkeypatch.setattr(fact_chunks, "DOCUMENTS", size)
    documents = random_documents(30, seed=4, pairs=pairs)
    documents[5] = replace(documents[5], title="é # \x00")
    order = LearningOrder.for_documents(documents)
    facts = [(document, fact) for document in documents for fact in document.relations]
    assert order.instance_id.to_pylist() == [document.instance_id(fact) for document, fact in facts]
    assert order.title.to_pylist() == [document.title for document, _ in facts]
    assert order.relation.to_pylist() == [fact.relation for _, fact in facts]
    assert order.head.tolist() == [fact.head for _, fact in facts]
    assert order.tail.tolist() == [fact.tail for _, fact in facts]
    assert order.plausibility.tolist() == counted(documents).astype(np.float32).tolist()  # to the last bit


def test_documents_without_facts_or_entities(ada):
    bare = [replace(ada, relations=[]), replace(ada, entities=[], relations=[], title="empty")]
    assert len(LearningOrder.for_documents(bare)) == len(LearningOrder.for_documents([])) == 0
    order = LearningOrder.for_documents([bare[1], replace(ada, title="x"), bare[0]])
    assert order.title.to_pylist() == ["x"] * 3


def test_counts_go_on_where_others_stopped():
    documents = random_documents(20, seed=1)
    counts = PlausibilityCounts()
    (chunk,) = chunks_of(documents[:8])
    counts.add_columns(chunk)
    for document in documents[8:]:
        counts.add(fact_columns(document))
    assert counts.log_odds().tolist() == counted(documents).tolist()


def test_a_chunk_is_small():
    (chunk,) = chunks_of(random_documents(5))
    assert order_columns([chunk]).keys() == {"instance_id", "title", "head", "tail", "relation", "plausibility"}
    assert len(chunk["title"]) == len(chunk["facts"]) == 5 and sum(chunk["facts"]) == len(chunk["head"])


def test_ids_of_a_corpus_are_those_of_its_documents(tmp_path, ada, curie):
    documents = [replace(ada, relations=[]), replace(curie, title="b"), replace(ada, title="a # 1")]
    write_documents(documents, tmp_path / "in.json")
    ids, titles = fact_ids(load_corpus(str(tmp_path / "in.json"), cache_dir=str(tmp_path / "cache")))
    assert ids.to_pylist() == [document.instance_id(fact) for document in documents for fact in document.relations]
    assert titles.to_pylist() == [document.title for document in documents for _ in document.relations]
