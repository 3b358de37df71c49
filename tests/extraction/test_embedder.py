"""Pair embeddings equal those of single documents, from any encoder, in any order."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModel

from finecl_hf import FineCLConfig, FineCLForRelationExtraction, RelationEmbedder, RelationPrototypes
from finecl_hf.data.documents import Document
from finecl_hf.encoding.encoders import load_tokenizer
from finecl_hf.encoding.words import lay_out
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.adapters import add_adapters


@pytest.fixture
def documents(ada, curie):
    lonely = Document("lonely", ada.sentences, ada.entities[:1])
    pair = replace(curie, title="pair", relations=curie.relations[:1], pairs=[(0, 1)])
    return [ada, Document("empty", [], []), curie, lonely, pair, replace(curie, title="unlabelled", relations=[])]


@pytest.fixture(scope="module")
def embedder(bert_folder):
    return RelationEmbedder(bert_folder, normalized=False)


def by_loops(folder, document):
    """The mean over mentions of the mean over tokens, word by word."""
    tokenizer, model = load_tokenizer(folder), AutoModel.from_pretrained(folder).eval()
    words, spans, _ = lay_out(document)
    encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**encoded)[0][0]
    vectors, spans = [], iter(spans.tolist())
    for entity in document.entities:
        mentions = []
        for _ in entity:
            start, end = next(spans)
            tokens = [i for i, word in enumerate(encoded.word_ids()) if word is not None and start <= word < end]
            mentions.append(hidden[tokens].mean(0))
        vectors.append(torch.stack(mentions).mean(0))
    return torch.stack([torch.cat([vectors[head], vectors[tail]]) for head, tail in document.judged_pairs])


@pytest.mark.parametrize("folder", ["bert_folder", "roberta_folder"])
def test_equals_the_definition(folder, request, documents):
    folder = request.getfixturevalue(folder)
    found = RelationEmbedder(folder, normalized=False, batch_size=2).encode(documents)
    judged = [documents[i] for i in (0, 2, 4, 5)]
    torch.testing.assert_close(
        found.embeddings, torch.cat([by_loops(folder, document) for document in judged]), atol=1e-5, rtol=1e-4
    )
    pairs = [(i, *pair) for i, document in enumerate(documents) for pair in document.judged_pairs]
    assert list(zip(found.document, found.head, found.tail, strict=True)) == pairs
    facts = {}
    for i, document in enumerate(documents):
        for fact in document.relations:
            facts.setdefault((i, fact.head, fact.tail), []).append(fact.relation)
    assert [sorted(labels) for labels in found.labels] == [sorted(facts.get(pair, ())) for pair in pairs]
    assert max(map(len, found.labels)) == 2
    unit = RelationEmbedder(folder).encode(documents).embeddings
    torch.testing.assert_close(unit, torch.nn.functional.normalize(found.embeddings, dim=1), atol=1e-5, rtol=1e-4)
    assert unit.dtype == torch.float32


def test_only_labelled_pairs(embedder, documents):
    every, labelled = embedder.encode(documents), embedder.encode(documents, only_labelled=True)
    kept = np.unique(every.label_pair)
    torch.testing.assert_close(labelled.embeddings, every.embeddings[kept])
    assert labelled.labels == [every.labels[i] for i in kept] and len(labelled) == 5


def test_order_and_batches_change_nothing(embedder, bert_folder, documents):
    order = [3, 5, 0, 4, 1, 2]
    expected = embedder.encode(documents)
    found = RelationEmbedder(bert_folder, normalized=False, batch_size=1).encode([documents[i] for i in order])
    for number, i in enumerate(order):
        here, there = found.document == number, expected.document == i
        torch.testing.assert_close(found.embeddings[here], expected.embeddings[there], atol=1e-5, rtol=1e-4)


def test_nothing_to_embed(embedder):
    found = embedder.encode([])
    assert found.embeddings.shape == (0, 64) and found.labels == []


def test_a_relation_model_or_its_adapter_gives_its_encoder_and_settings(bert_folder, tmp_path, ada):
    torch.manual_seed(0)
    config = FineCLConfig.for_labels({"NA": 0, "born in": 1}, entity_markers="asterisk", max_seq_length=64)
    model = FineCLForRelationExtraction.from_encoder(bert_folder, config)
    model.save_pretrained(tmp_path / "whole")
    expected = RelationEmbedder(bert_folder, entity_markers="asterisk").encode([ada]).embeddings
    tokenizer = load_tokenizer(bert_folder)
    tokenizer.save_pretrained(tmp_path / "whole")
    adapted = add_adapters(model)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    config.save_pretrained(tmp_path / "adapter")
    adapted.save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    whole, adapter = (RelationEmbedder(str(tmp_path / name)) for name in ("whole", "adapter"))
    assert (whole.entity_markers, whole.max_seq_length) == ("asterisk", 64)
    torch.testing.assert_close(whole.encode([ada]).embeddings, expected)
    inside = RelationEmbedder((adapted.get_base_model(), tokenizer)).encode([ada]).embeddings
    torch.testing.assert_close(adapter.encode([ada]).embeddings, inside, atol=1e-5, rtol=1e-4)
    assert (inside - expected).abs().max() > 1e-3


def test_an_earlier_layer(bert_folder, ada):
    model, tokenizer = AutoModel.from_pretrained(bert_folder).eval(), load_tokenizer(bert_folder)
    one = RelationEmbedder(bert_folder, num_layers=1)
    words = lay_out(ada).words
    encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**encoded, output_hidden_states=True).hidden_states[1][0]
    start = encoded.word_ids().index(5)
    expected = states[[i for i, word in enumerate(encoded.word_ids()) if word == 5]].mean(0)
    assert start > 0  # London, one mention
    torch.testing.assert_close(one.encode([ada]).entities[1], expected, atol=1e-5, rtol=1e-4)
    given = RelationEmbedder((model, tokenizer), num_layers=1).encode([ada])
    torch.testing.assert_close(given.entities[1], expected, atol=1e-5, rtol=1e-4)
    assert model.config.num_hidden_layers == 2  # as it was
    with pytest.raises(FineCLError, match="num_layers 3 is out of range"):
        RelationEmbedder(bert_folder, num_layers=3)


def test_long_documents(bert_folder, ada, caplog):
    windows = RelationEmbedder(bert_folder, max_seq_length=12).encode([ada])
    assert len(windows) == 12 and "past" not in caplog.text
    cut = RelationEmbedder(bert_folder, max_seq_length=12, long_documents="truncate").encode([ada])
    assert len(cut) < 12 and "past the 12 tokens" in caplog.text


def test_nothing_there(tmp_path):
    with pytest.raises(FineCLError, match="no such folder"):
        RelationEmbedder(str(tmp_path / "nothing"))


@pytest.mark.parametrize("documents", [None, "gold.json", {"title": "x"}, [{"title": "x"}], [1]])
def test_what_is_no_document_is_said(embedder, documents):
    for call in (embedder.encode, lambda given: RelationPrototypes.fit(given, embedder)):
        with pytest.raises(FineCLError, match="expected documents, found .*read_documents"):
            call(documents)


@pytest.mark.parametrize(
    ("encoder", "options", "word"),
    [
        (None, {}, "encoder: found NoneType"),
        ((1, 2), {}, "a model and its tokenizer"),
        ("bert", {"batch_size": 0}, "batch_size is 0"),
        ("bert", {"device": "meta"}, "device meta"),
        ("bert", {"device": "nowhere"}, "device nowhere"),
        ("bert", {"dtype": "float16"}, "dtype.*float32"),
        ("bert", {"entity_markers": "stars"}, 'no entity_markers "stars"'),
        ("bert", {"long_documents": "all"}, 'no long_documents "all"'),
        ("bert", {"hide_names": "yes"}, 'no hide_names "yes"'),
    ],
)
def test_settings_that_mean_nothing_are_said(bert_folder, encoder, options, word):
    with pytest.raises(FineCLError, match=word):
        RelationEmbedder(bert_folder if encoder == "bert" else encoder, **options)
