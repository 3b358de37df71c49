"""The evidence head is the context head, and tells how much of its attention lies in each sentence."""

import pytest
import torch
from transformers import AutoConfig

from finecl_hf.encoding.batches import RelationCollator
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads.context import ContextHead
from finecl_hf.extraction.heads.evidence import EvidenceHead
from finecl_hf.extraction.modeling import FineCLForRelationExtraction
from finecl_hf.losses import evidence_loss
from tests.helpers.head_inputs import random_inputs


def test_shares_equal_the_definition_and_logits_those_of_the_context_head():
    torch.manual_seed(0)
    text_config = AutoConfig.for_model("bert", hidden_size=12)
    config = FineCLConfig(num_labels=5, entity_size=6, head_size=8, type_size=3, text_config=text_config)
    told, plain = EvidenceHead(config).double().eval(), ContextHead(config).double().eval()
    told.reset_parameters()
    plain.load_state_dict(told.state_dict())
    inputs, again = random_inputs((4, 0, 1, 6)), random_inputs((4, 0, 1, 6))
    inputs.sentence = torch.tensor([[-1] * 2 + [0] * 9 + [1] * 12, [-1] * 23, [-1] * 23, [-1] + [0] * 4 + [2] * 18])
    torch.testing.assert_close(told(inputs), plain(again))
    assert inputs.evidence.shape == (len(inputs.pairs), 3)

    row = [row for row, count in enumerate(inputs.pair_counts) for _ in range(count)]
    base = [sum(inputs.entity_counts[:document]) for document in range(4)]
    for number, (head, tail) in enumerate(inputs.pairs.tolist()):
        ours = inputs.attention[row[number]]
        weights = (ours[:, :, head - base[row[number]]] * ours[:, :, tail - base[row[number]]]).sum(dim=1)
        weights = weights / weights.sum()
        for sentence in range(3):
            expected = weights[inputs.sentence[row[number]] == sentence].sum()
            torch.testing.assert_close(inputs.evidence[number, sentence], expected, rtol=1e-5, atol=1e-7)


def test_the_loss_is_the_divergence_from_the_gold_sentences():
    evidence = torch.tensor([[0.5, 0.3, 0.1], [0.2, 0.2, 0.6], [0.9, 0.0, 0.0]], requires_grad=True)
    pair, sentence = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 2, 2, 2])  # one is named twice
    first = 0.5 * (torch.tensor(0.5 / 0.5).log() + torch.tensor(0.5 / 0.1).log())
    second = torch.tensor(1 / 0.6).log()
    loss = evidence_loss(evidence, pair, sentence)
    torch.testing.assert_close(loss, (first + second) / 2, rtol=1e-5, atol=1e-6)
    loss.backward()
    assert evidence.grad[0].any() and not evidence.grad[2].any()
    none = torch.zeros(0, dtype=torch.long)
    assert evidence_loss(evidence, none, none) == 0 and evidence_loss(evidence, none, none).requires_grad


def test_evidence_is_learned_and_only_where_there_is_some(bert_folder, bert_tokenizer, ada):
    label2id = {"NA": 0, **{fact.relation: i for i, fact in enumerate(ada.relations, start=1)}}
    encoder = DocumentEncoder(bert_tokenizer, label2id, 128)

    def batch_of(document):
        columns = encoder.encode([document])
        return RelationCollator(bert_tokenizer.pad_token_id)([{name: v[0] for name, v in columns.items()}])

    batch = batch_of(ada)
    assert len(batch["evidence_pair"]) > 0
    torch.manual_seed(0)
    model = FineCLForRelationExtraction.from_encoder(bert_folder, FineCLConfig.for_labels(label2id, head="evidence"))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    shares = []
    for _ in range(40):
        output = model.eval()(**batch)
        shares.append(output.evidence[batch["evidence_pair"], batch["evidence_sentence"]].mean().item())
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    assert shares[-1] > shares[0] + 0.1
    for fact in ada.relations:
        fact.evidence.clear()
    bare, plain = batch_of(ada), dict(batch)
    plain["evidence_pair"] = plain["evidence_sentence"] = torch.zeros(0, dtype=torch.long)
    assert model(**bare).loss.item() == pytest.approx(model(**plain).loss.item())
    assert model(**batch).loss > model(**plain).loss
