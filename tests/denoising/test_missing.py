"""Missing labels are ranked as the formula says, the same for any number of workers and processes and any order."""

import json
import random
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch

from finecl_hf import read_documents, write_documents
from finecl_hf.data.corpus import fact_columns, iter_corpus, load_corpus
from finecl_hf.data.held_out import HeldOutPairs
from finecl_hf.denoising.missing import (
    FACT,
    ROW,
    BestFacts,
    are_labelled_sentences,
    batches_of,
    find_missing,
    judge_pairs,
)
from finecl_hf.denoising.probe import plant
from finecl_hf.encoding.batches import RelationCollator
from finecl_hf.hashing import mix
from finecl_hf.learning_order.missing_labels import MISSING, read_missing
from finecl_hf.learning_order.plausibility import PlausibilityCounts, entity_distances
from finecl_hf.learning_order.support import support_counts
from finecl_hf.learning_order.verdicts import Verdict, Verdicts
from tests.helpers.random_documents import random_document
from tests.helpers.script_runs import arguments, launched, run


@pytest.mark.parametrize("loss", ["softmax", "bce"])
def test_judge_pairs_against_loops(loss):
    logits = 3 * torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    logits[2] = 1.0  # all alike
    probability, margin = judge_pairs(logits, loss)
    for row, values in enumerate(logits.tolist()):
        for i, value in enumerate(values):
            rest = [other for j, other in enumerate(values) if j != i]
            chance = np.exp(value) / np.exp(values).sum() if loss == "softmax" else 1 / (1 + np.exp(-value))
            assert probability[row, i].item() == pytest.approx(chance, 1e-5)
            assert margin[row, i].item() == pytest.approx(value - max(rest), abs=1e-5)


@pytest.mark.parametrize("loss", ["pu_bce", "pu_ranking"])
def test_na_alone_competes_where_other_relations_may_lack_a_label(loss):
    logits = torch.tensor([[0.5, 2.0, 1.0], [3.0, -1.0, 2.0]])
    probability, margin = judge_pairs(logits, loss)
    torch.testing.assert_close(margin, torch.tensor([[0.0, 1.5, 0.5], [0.0, -4.0, -1.0]]))
    torch.testing.assert_close(probability, margin.sigmoid())


def rows_of(scores, first=0):
    rows = np.zeros(len(scores), ROW)
    rows["key"], rows["score"] = np.arange(first, first + len(scores)) * 7919, scores
    return rows


@pytest.mark.parametrize("count", [1, 3, 20])
def test_best_facts_against_sorting(count):
    rng = np.random.default_rng(count)
    scores = rng.integers(0, 40, 400).astype(np.float32)  # with ties
    scores[::9] = -np.inf
    best, every = BestFacts(count), rows_of(scores)
    for start in range(0, 400, 25):
        part = every[start : start + 25]
        best.add(part[best.worth_adding(part["score"])])
        assert sum(map(len, best._parts)) <= 4 * count + 25
    best.add(best.rows())  # again
    expected = sorted(every[scores > -np.inf], key=lambda row: (-row["score"], mix(*(row[name] for name in FACT))))
    assert best.rows().tolist() == [row.tolist() for row in expected[:count]]


@pytest.mark.parametrize("rows, size, processes", [(10, 3, 1), (10, 3, 2), (10, 3, 3), (2, 4, 3), (9, 3, 3)])
def test_batches_of_processes(rows, size, processes):
    alone = batches_of(rows, size, 0, 1)
    assert [row for batch in alone for row in batch] == list(range(rows))
    shares = [batches_of(rows, size, process, processes) for process in range(processes)]
    assert len({len(share) for share in shares}) == 1
    together = [batch for share in shares for batch in share]
    assert all(batch in alone for batch in together) and all(batch in together for batch in alone)


def slow_ranking(trainer, documents, relations):
    """All candidates as (score, probability, margin, plausibility, support, instance id), best first."""
    plausibility = PlausibilityCounts()
    for document in documents:
        plausibility.add(fact_columns(document))
    support = support_counts(lambda: documents, relations)
    model, found = trainer.model.eval(), []
    features = {int(row["key"]): row for row in trainer.train_dataset}
    for document in documents:
        batch = RelationCollator(0)([features[document.key]])
        with torch.no_grad():
            logits = model(**batch).logits.numpy()
        columns = fact_columns(document)
        kind, distances = plausibility.kinds_of(columns["entity_type"]), entity_distances(columns)
        labelled = {(fact.head, fact.tail) for fact in document.relations}
        for (head, tail), values in zip(batch["pairs"].tolist(), logits.tolist(), strict=True):
            if (head, tail) in labelled:
                continue
            places = [place[[head], [tail]] for place in (kind, *distances)]
            plausible = plausibility.pair_odds(relations)(*places)[0]
            supported = support.odds()(support.read(document), np.array([[head, tail]]))[0]
            for number, relation in enumerate(relations[1:], 1):
                rest = [value for other, value in enumerate(values) if other != number]
                score = values[number] - values[0] + plausible[number] + supported[number]
                probability = np.exp(values[number]) / np.exp(values).sum()
                name = f"{document.title}#{head}#{tail}#{relation}"
                signs = probability, values[number] - max(rest), plausible[number], supported[number]
                if score > -np.inf:
                    found.append((score, *signs, name))
    return sorted(found, reverse=True)


def test_ranking_against_loops(bert_folder, corpus, tmp_path, trainers):
    run("denoise", bert_folder, corpus, tmp_path, missing_labels=40, num_train_epochs=1)
    documents, rows = read_documents(corpus / "silver.json"), read_missing(tmp_path / MISSING)
    relations = list(trainers[0].model.config.label2id)
    expected = slow_ranking(trainers[0], documents, relations)
    assert len(rows) == 40 < len(expected)
    by_name = {row[-1]: row for row in expected}
    for row, (score, *_) in zip(rows, expected, strict=False):
        assert row.score == pytest.approx(score, abs=1e-3)  # of equals, any comes first
        signs = row.score, row.probability, row.margin, row.plausibility, row.support
        assert signs == pytest.approx(by_name[row.instance_id][:-1], abs=1e-3)
    of_title = {document.title: document for document in documents}
    for row in rows:
        document = of_title[row.title]
        assert row.instance_id == document.instance_id(row.fact)
        assert (row.head_name, row.tail_name) == (document.longest_name(row.head), document.longest_name(row.tail))
        assert (row.head, row.tail) not in {(fact.head, fact.tail) for fact in document.relations}
    assert [row.score for row in rows] == sorted((row.score for row in rows), reverse=True)


def test_same_file_for_any_order_and_workers(bert_folder, corpus, tmp_path):
    options = {"missing_labels": 30, "num_train_epochs": 1, "report": False}
    run("denoise", bert_folder, corpus, tmp_path / "one", **options)
    documents = json.loads((corpus / "silver.json").read_text())
    random.Random(0).shuffle(documents)
    (tmp_path / "shuffled.json").write_text(json.dumps(documents))
    shuffled = {**options, "train_file": tmp_path / "shuffled.json", "dataloader_num_workers": 2}
    run("denoise", bert_folder, corpus, tmp_path / "two", **shuffled)
    one, two = ((tmp_path / name / MISSING).read_bytes() for name in ("one", "two"))
    assert one == two and len(read_missing(tmp_path / "one" / MISSING)) == 30


@pytest.mark.slow
def test_same_facts_of_two_processes(bert_folder, corpus, tmp_path):
    flags = {"missing_labels": 30, "num_train_epochs": 1, "report": False, "per_device_eval_batch_size": 3}
    flags["learning_rate"] = 0.0  # two processes train a little otherwise: a step is the mean of their own means
    for processes, batch in ((1, 4), (2, 2)):
        words = arguments("denoise", bert_folder, corpus, tmp_path / str(processes), **flags,
                          per_device_train_batch_size=batch)  # fmt: skip
        subprocess.run([*launched("run_denoise.py", processes), *words], check=True, capture_output=True)
    one, two = (read_missing(tmp_path / name / MISSING) for name in ("1", "2"))
    assert [row.score for row in one] == pytest.approx([row.score for row in two], abs=1e-5)
    assert {row.instance_id for row in one} == {row.instance_id for row in two}


def test_none_and_few_are_asked_for(bert_folder, corpus, tmp_path):
    run("denoise", bert_folder, corpus, tmp_path, missing_labels=0, num_train_epochs=1, report=False)
    assert not (tmp_path / MISSING).exists()


def test_sentences_with_a_label_have_no_pair_that_could_lack_one(tmp_path):
    sentences = [random_document(seed, sentence=True) for seed in range(40)]
    labelled = [document for document in sentences if document.relations]
    assert 0 < len(labelled) < len(sentences)
    parts = {"all": labelled, "some": sentences, "documents": [*labelled, random_document(1)]}
    for name, documents in parts.items():
        documents = [replace(document, title=str(i)) for i, document in enumerate(documents)]
        write_documents(documents, tmp_path / f"{name}.json")
        corpus = load_corpus(str(tmp_path / f"{name}.json"), cache_dir=str(tmp_path / "cache"))
        assert are_labelled_sentences(corpus) is (name == "all")
        assert (find_missing(None, None, corpus, 0 if name != "all" else 9)) is None


def test_what_people_call_wrong_is_no_candidate(bert_folder, corpus, tmp_path):
    options = {"missing_labels": 30, "num_train_epochs": 1, "report": False}
    run("denoise", bert_folder, corpus, tmp_path / "before", **options)
    worst = read_missing(tmp_path / "before" / MISSING)[:3]
    rows = [Verdict(row.instance_id, row.title, row.head, row.tail, row.relation, "wrong") for row in worst]
    Verdicts(rows).write(tmp_path / "verdicts.parquet")
    run("denoise", bert_folder, corpus, tmp_path / "after", **options, verdicts=tmp_path / "verdicts.parquet")
    after = {row.instance_id for row in read_missing(tmp_path / "after" / MISSING)}
    assert after and not after & {row.instance_id for row in worst}


def test_what_is_held_out_is_no_candidate(bert_folder, corpus, tmp_path):
    documents = read_documents(corpus / "silver.json")
    held_out = [replace(document, title=f"test {document.title}", relations=[], labelled=False)
                for document in documents[:5]]  # fmt: skip
    write_documents(held_out, tmp_path / "test.json")
    names = HeldOutPairs(held_out)
    excluded = {(document.title, *pair) for document in documents for pair in names.pairs_of(document)}
    found = []
    for options in ({}, {"exclude_file": tmp_path / "test.json"}):
        run("denoise", bert_folder, corpus, tmp_path / f"{len(found)}", missing_labels=5000, num_train_epochs=1,
            report=False, **options)  # fmt: skip
        rows = read_missing(tmp_path / f"{len(found)}" / MISSING)
        found.append({(row.title, row.head, row.tail) for row in rows})
    assert found[0] & excluded and found[1] and not found[1] & excluded


def test_what_the_self_test_planted_is_no_candidate(bert_folder, corpus, tmp_path, monkeypatch):
    probes = []
    monkeypatch.setattr("finecl_hf.denoising.probe.FEWEST", 1)
    monkeypatch.setattr("finecl_hf.denoising.probe.plant", lambda *args: probes.append(plant(*args)) or probes[-1])
    options = {"missing_labels": 5000, "num_train_epochs": 1, "report": False, "probe_share": 0.2}
    run("denoise", bert_folder, corpus, tmp_path, **options)
    planted = {tuple(name.rsplit("#", 3)[:3]) for name in planted_ids(corpus, probes[0])}
    candidates = {(row.title, str(row.head), str(row.tail)) for row in read_missing(tmp_path / MISSING)}
    assert planted and candidates and not planted & candidates


def planted_ids(corpus, probe):
    """Ids of the labels that the silver documents have not."""
    own = {d.instance_id(fact) for d in read_documents(corpus / "silver.json") for fact in d.relations}
    return {d.instance_id(fact) for d in iter_corpus(probe.corpus) for fact in d.relations} - own
