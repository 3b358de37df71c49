"""What is read from the features of a corpus as a whole."""

import numpy as np
import pytest
from datasets import concatenate_datasets

from finecl_hf.encoding.feature_table import Truncation, fact_keys, token_counts, with_fact_column
from finecl_hf.encoding.features import DocumentEncoder
from tests.helpers.small_documents import silver_documents


LABELS = {"NA": 0, "born in": 1, "located in": 2, "capital of": 3, "died in": 4}


@pytest.fixture
def documents(ada, curie):
    return silver_documents(ada, curie)


def features_of(documents, tokenizer, max_length):
    features = DocumentEncoder(tokenizer, LABELS, max_length=max_length).dataset(documents).features
    return concatenate_datasets([features.select(range(3)), features.select(range(3, len(features)))])  # two chunks


def test_columns_as_a_whole(documents, bert_tokenizer):
    features = features_of(documents, bert_tokenizer, 64)
    assert fact_keys(features).tolist() == [d.fact_key(fact) for d in documents for fact in d.relations]
    tokens = [token for row in features["input_ids"] for token in row]
    assert (
        token_counts(features, len(bert_tokenizer)).tolist()
        == np.bincount(tokens, minlength=len(bert_tokenizer)).tolist()
    )


def test_a_column_with_a_value_for_each_fact(documents, bert_tokenizer):
    features = features_of(documents, bert_tokenizer, 64)
    values = np.arange(len(fact_keys(features)), dtype=np.float32)
    table = with_fact_column(features, "trust", values)
    assert [value for row in table["trust"] for value in row] == values.tolist()
    assert [len(row) for row in table["trust"]] == [len(document.relations) for document in documents]
    plain = table.remove_columns("trust").with_format(None)
    assert plain[:] == features.with_format(None)[:]
    backwards = table.select(range(len(table) - 1, -1, -1))
    assert [len(row) for row in backwards["trust"]] == [len(d.relations) for d in reversed(documents)]


def test_what_truncation_cost(documents, bert_tokenizer):
    whole = Truncation.of(features_of(documents, bert_tokenizer, 64), 64)
    assert whole.mentions == sum(len(mentions) for d in documents for mentions in d.entities)
    assert not whole.lost_mentions and "All" in str(whole)
    cut = Truncation.of(features_of(documents, bert_tokenizer, 12), 12)
    assert cut.mentions == whole.mentions and cut.lost_mentions > cut.lost_facts > 0
    assert f"{cut.lost_mentions:,} of {cut.mentions:,} mentions" in str(cut)
