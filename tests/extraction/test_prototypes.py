"""A handful of examples make a relation model that works, saves, loads and evaluates like any other."""

import json
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

import run_finetune
from finecl_hf import RelationEmbedder, RelationExtractionPipeline, RelationPrototypes, load_relation_model
from finecl_hf.data.documents import Document, Fact
from finecl_hf.data.readers import read_documents, write_documents
from finecl_hf.errors import FineCLError
from finecl_hf.extraction import prototypes as module
from finecl_hf.metrics import docred_scores


@pytest.fixture(scope="module")
def embedder(bert_folder):
    return RelationEmbedder(bert_folder)


@pytest.fixture(scope="module")
def gold(corpus):
    return {name: read_documents(corpus / f"gold_{name}.json") for name in ("train", "validation", "test")}


def sentences(relations=("born", "died", "author"), count=6):
    """Sentences that say their relation in a word beside the arguments; `NA` is no label."""
    made = []
    for i in range(count):
        for relation in relations:
            words = ["Ada", relation, "in", "London", "."]
            vertex_set = [[{"name": words[p], "sent_id": 0, "pos": [p, p + 2 if p == 0 else p + 1]}] for p in (0, 3)]
            labels = [] if relation == "NA" else [{"h": 0, "t": 1, "r": relation}]
            made.append(
                Document.from_dict(
                    {"title": f"{relation} {i}", "sents": [words], "vertexSet": vertex_set, "labels": labels,
                     "pairs": [[0, 1]]}
                )
            )  # fmt: skip
    return made


def test_means_and_threshold_by_loops(embedder, gold):
    """One prototype a relation: the mean of its centred pairs, weighted by their number less the threshold."""
    documents = gold["train"][:8]
    made = RelationPrototypes.fit(documents, embedder, "mean")
    found = embedder.encode(documents)
    halves = found.entities[found.pairs]
    halves = torch.nn.functional.normalize(halves - halves.mean(0), dim=2)
    head, shifts = made.model.relation_head, []
    assert head.relation.tolist() == sorted({made.model.config.label2id[name] for name in found.label_relation})
    for prototype, weight, relation in zip(head.prototypes, head.weight, head.relation.tolist(), strict=True):
        own = [pair for pair, name in zip(found.label_pair, found.label_relation, strict=True)
               if made.model.config.label2id[name] == relation]  # fmt: skip
        mean = torch.stack([halves[pair].flatten() for pair in own]).mean(0)
        torch.testing.assert_close(prototype.flatten(), mean / mean.norm(), atol=1e-5, rtol=1e-4)
        shifts.append(float(torch.tensor(len(own)).log() - weight.detach()))
    assert shifts == pytest.approx([shifts[0]] * len(shifts), abs=1e-5)


@pytest.mark.parametrize("method", ["mean", "neighbours"])
def test_what_is_predicted_without_training(method, embedder, gold, tmp_path):
    made = RelationPrototypes.fit(gold["train"], embedder, method, k=20, validation=gold["test"])
    config, documents = made.model.config, gold["test"]
    assert config.threshold == 0 and config.num_prototypes == len(made.model.relation_head.relation)
    made.save_pretrained(tmp_path)
    loaded = RelationPrototypes.from_pretrained(str(tmp_path), device="cpu")
    triples = made(documents)
    assert loaded(documents) == triples == RelationExtractionPipeline.from_pretrained(str(tmp_path))(documents)
    assert all(triple["score"] > 0.5 for of_document in triples for triple in of_document)
    rows = [
        {"title": document.title, "h_idx": t["h_idx"], "t_idx": t["t_idx"], "r": t["relation"]}
        for document, of_document in zip(documents, triples, strict=True)
        for t in of_document
    ]
    scores = made.evaluate(documents)
    assert scores["f1"] == docred_scores(rows, documents)["f1"] > 0
    write_documents(documents, tmp_path / "test.json")
    told = run_finetune.main(
        ["--model_name_or_path", str(tmp_path), "--do_eval", "--do_predict", "--use_cpu", "true", "--test_file",
         str(tmp_path / "test.json"), "--validation_file", str(tmp_path / "test.json"), "--output_dir",
         str(tmp_path / "out")]
    )  # fmt: skip
    for split in ("eval", "test"):
        assert told[f"{split}_f1"] == pytest.approx(scores["f1"])
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())) == len(rows)


def test_as_many_facts_are_predicted_as_there_are(embedder, gold):
    """Where each of up to ten documents is judged by the prototypes of the others."""
    documents = gold["train"][:6]
    made = RelationPrototypes.fit(documents, embedder, "mean")
    found, config = embedder.encode(documents), made.model.config
    known = [[name for i, name in zip(found.document[found.label_pair], found.label_relation, strict=True) if i != own]
             for own in range(6)]  # fmt: skip
    wanted = sum(fact.relation in known[own] for own, document in enumerate(documents) for fact in document.relations)
    examples = module.choose_examples(found, config, np.zeros(6, np.int64), 0.0, 0)
    shift = float(examples.relation.bincount()[1:].max().log() - made.model.relation_head.weight.max().detach())
    scores = []
    for own in range(6):
        head = module.make_head(examples.outside(np.array([own])), module.mean_pair(found), config)
        with torch.no_grad():
            logits = head.score(found.entities, found.pairs[found.document == own])
        scores.append((logits[:, 1:] - logits[:, :1]).flatten())
    assert wanted > 5 and int((torch.cat(scores) > shift + 1e-6).sum()) == pytest.approx(wanted, abs=1)


def test_validation_documents_choose_the_threshold(embedder, gold):
    # Two relations, so that all there is to predict is among the candidates, which are two a pair.
    kept = Counter(fact.relation for document in gold["train"] for fact in document.relations).most_common(2)
    train, test = (
        [replace(d, relations=[fact for fact in d.relations if fact.relation in dict(kept)]) for d in gold[name]]
        for name in ("train", "test")
    )
    fitted = RelationPrototypes.fit(train, embedder, validation=test)
    best = fitted.evaluate(test)["f1"]
    head = fitted.model.relation_head
    for shift in (-1.0, -0.1, 0.1, 1.0):
        with torch.no_grad():
            head.weight[head.relation > 0] += shift
        assert fitted.evaluate(test)["f1"] <= best + 1e-9
        with torch.no_grad():
            head.weight[head.relation > 0] -= shift


def test_order_changes_nothing(embedder, gold):
    documents = gold["train"][:6]
    one, other = (
        RelationPrototypes.fit(order, embedder, "neighbours", k=1000).model.relation_head  # no ties at the k-th
        for order in (documents, random.Random(1).sample(documents, len(documents)))
    )
    found = embedder.encode(gold["test"])
    with torch.no_grad():
        scores = [head.score(found.entities, found.pairs) for head in (one, other)]
    torch.testing.assert_close(*scores, atol=1e-3, rtol=1e-3)


def test_sentences_get_the_most_likely_label(embedder, tmp_path):
    made = RelationPrototypes.fit(sentences(), embedder)
    assert made.model.config.task == "sentence" and made.model.config.num_prototypes == 3
    unseen = [replace(document, title=f"new {document.title}") for document in sentences(count=2)]
    assert made.evaluate(unseen)["accuracy"] == 1.0
    made.save_pretrained(tmp_path)
    assert load_relation_model(str(tmp_path)).config.task == "sentence"


def test_na_among_sentences_is_a_class_of_its_own(embedder):
    made = RelationPrototypes.fit(sentences(("born", "NA")), embedder, "neighbours", k=3)
    found = made(sentences(("born", "NA"), count=1))
    assert [[triple["relation"] for triple in triples] for triples in found] == [["born"], []]


def test_one_document(embedder, ada, curie):
    """No relation in two documents: what lies above the threshold is as much as there are labels, and not all."""
    ada = replace(ada, relations=ada.relations[:2])  # of two pairs: one pair's two relations have scores that tie
    made = RelationPrototypes.fit([ada], embedder, "mean")
    assert 0 < len(made(ada)) <= 2 * len(ada.relations)
    assert made.model.relation_head.weight.isfinite().all()


def test_one_relation_and_no_other_pair(embedder, ada, caplog):
    only = replace(ada, relations=[Fact(0, 1, "born in")], pairs=[(0, 1)])
    made = RelationPrototypes.fit([only], embedder, "mean", task="document")
    assert "nothing shows" in caplog.text and made.model.relation_head.weight.tolist() == [0.0]


def test_relations_without_examples_are_known_and_never_predicted(embedder, ada):
    made = RelationPrototypes.fit([ada], embedder, relation_names={"born in": "place of birth", "P9": "spouse"})
    assert "P9" in made.model.config.label2id
    every = made(ada, threshold=-30.0)
    assert every and {triple["name"] for triple in every} == {"place of birth", "located in", "capital of"}


def test_mistakes(embedder, ada, bert_folder, tmp_path):
    with pytest.raises(FineCLError, match='no method "nearest"; methods: mean, neighbours'):
        RelationPrototypes.fit([ada], embedder, "nearest")
    for k in (0, 1.5, None, True):
        with pytest.raises(FineCLError, match=f"k {k} is out of range"):
            RelationPrototypes.fit([ada], embedder, k=k)
    (tmp_path / "file").write_text("")
    made = RelationPrototypes.fit([ada], embedder)
    with pytest.raises(FineCLError, match="file: is a file"):
        made.save_pretrained(tmp_path / "file")
    for documents in ([], [ada, replace(ada, labelled=False, relations=[])]):
        with pytest.raises(FineCLError, match="no `labels`"):
            made.evaluate(documents)
    with pytest.raises(FineCLError, match="labelled pair"):
        RelationPrototypes.fit([replace(ada, relations=[])], embedder)
    with pytest.raises(FineCLError, match="only an encoder"):
        RelationPrototypes.from_pretrained(bert_folder)


def test_many_pairs_are_judged_in_part(embedder, gold, monkeypatch):
    monkeypatch.setattr(module, "MOST_PAIRS", 150)
    assert RelationPrototypes.fit(gold["train"], embedder).model.relation_head.weight.isfinite().all()
