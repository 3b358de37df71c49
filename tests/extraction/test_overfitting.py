"""A few documents learned by heart: those that can be are, those that cannot be are told."""

from dataclasses import replace

import pytest
import torch

from finecl_hf.encoding.encoders import load_tokenizer
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.modeling import FineCLForRelationExtraction
from finecl_hf.extraction.overfitting import FactCounts, overfit


LABELS = {"NA": 0, "born in": 1, "located in": 2, "capital of": 3, "died in": 4}


@pytest.fixture
def encoder(bert_folder):
    return DocumentEncoder(load_tokenizer(bert_folder), LABELS, 64)


def model_of(folder):
    torch.manual_seed(0)
    config = FineCLConfig.for_labels(LABELS, entity_size=16, distance_size=4)
    return FineCLForRelationExtraction.from_encoder(folder, config)


def test_facts_are_counted_as_in_sets():
    torch.manual_seed(0)
    logits, targets = torch.randn(20, 5), torch.rand(20, 5) < 0.3
    counts, of_sentences = FactCounts(), FactCounts()
    for part in (slice(0, 8), slice(8, 20)):
        counts.add(logits[part], targets[part], "document")
        of_sentences.add(logits[part], targets[part], "sentence")
    gold = {(p, r) for p in range(20) for r in range(1, 5) if targets[p, r]}
    above = {(p, r) for p in range(20) for r in range(1, 5) if logits[p, r] > logits[p, 0]}
    best = {(p, int(row.argmax())) for p, row in enumerate(logits) if row.argmax() > 0}
    assert counts.f1 == pytest.approx(2 * len(above & gold) / (len(above) + len(gold)))
    assert of_sentences.f1 == pytest.approx(2 * len(best & gold) / (len(best) + len(gold)))
    assert FactCounts().f1 == 0


def test_sound_documents_are_learned_and_nothing_outside_changes(ada, curie, encoder, bert_folder):
    model, again = model_of(bert_folder), model_of(bert_folder)
    state = torch.get_rng_state()
    first, second = (overfit(m, [ada, curie], encoder, 60) for m in (model, again))
    assert torch.equal(torch.get_rng_state(), state)
    assert (first.ended, first.documents, first.facts, first.lost_facts) == ("learned", 2, 5, 0)
    assert first.f1 >= 0.995 and first.head_f1 > 0.9 and first.passes >= 1
    assert replace(first, seconds=0) == replace(second, seconds=0)


def test_contradictions_cannot_be_learned(ada, encoder, bert_folder):
    other = [replace(fact, relation="died in") for fact in ada.relations[:1]]
    result = overfit(model_of(bert_folder), [ada, replace(ada, title="b", relations=other)], encoder, 60)
    assert result.ended == "stuck" and result.f1 < 0.9


def test_it_ends_when_the_time_is_over(ada, encoder, bert_folder):
    result = overfit(model_of(bert_folder), [ada], encoder, 1e-9)
    assert (result.ended, result.passes, result.f1) == ("time", 0, 0)


def test_a_loss_that_is_not_finite_is_told(ada, encoder, bert_folder):
    model = model_of(bert_folder)
    torch.nn.init.constant_(model.encoder.embeddings.word_embeddings.weight, torch.nan)
    assert overfit(model, [ada], encoder, 60).ended == "diverged"


def test_facts_past_the_length_count_as_missed(ada, bert_folder):
    encoder = DocumentEncoder(load_tokenizer(bert_folder), LABELS, 10)
    result = overfit(model_of(bert_folder), [ada], encoder, 60)
    assert result.lost_facts == 2 and result.f1 == pytest.approx(0.5)
