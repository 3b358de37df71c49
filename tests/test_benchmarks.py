"""Benchmarks in small: their figures are there, and right where they can be checked."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from benchmarks import (
    denoise,
    denoise_step,
    few_shot,
    finetune_step,
    incomplete,
    inference,
    large_document,
    missing_labels,
    preprocess,
    pretrain_step,
    recorder,
    step_cost,
)
from benchmarks.ranking import average_precision
from finecl_hf.data.readers import read_documents, write_documents
from finecl_hf.encoding.packing import enable_packing
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.trust import SCORES


FILES = sorted(Path(denoise.__file__).parent.glob("*.py"))
KEYS = {"corpus", "seeds", "scores", "preset", "recorder_share", "seconds", "noise_rate", "labels", "judged", "wrong",
        "lead", "self_test"}  # fmt: skip
SMALL = ["--use_cpu", "true", "--num_train_epochs", "2", "--max_seq_length", "64", "--learning_rate", "1e-3"]


@pytest.mark.parametrize("name", [file.stem for file in FILES])
def test_what_benchmarks_import_is_there(name):
    try:
        import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as error:  # what only this benchmark needs
        if error.name.split(".")[0] in ("benchmarks", "finecl_hf"):
            raise
        pytest.skip(f"{error.name} is not installed")


@pytest.fixture
def fewrel(tmp_path):
    """FewRel's format: 4 relations, 12 sentences each, which say their relation in a word."""
    relations = {"P1": "born", "P2": "died", "P3": "author", "P4": "capital"}
    instances = {
        relation: [
            {
                "tokens": ["Ada", str(i), word, "in", "London", "."],
                "h": ["ada", f"Q{i}", [[0]]],
                "t": ["london", "Q84", [[4]]],
            }
            for i in range(12)
        ]
        for relation, word in relations.items()
    }
    path = tmp_path / "fewrel.json"
    path.write_text(json.dumps(instances), encoding="utf-8")
    return path


def test_injected_noise(fewrel, bert_folder, tmp_path, capsys):
    flags = ["--corpus", "fewrel", "--documents", str(fewrel), "--model", bert_folder, "--seeds", "0", "1"]
    result = denoise.main([*flags, "--rate", "0.25", "--keep", str(tmp_path / "kept"), *SMALL])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == result
    assert result.keys() == KEYS | {"noise", "rate"} and result["seeds"] == [0, 1]
    assert result["labels"] == result["judged"] == [48, 48] and result["wrong"] == [12, 12]
    assert set(SCORES) - set(result["scores"]) == {"plausibility"}  # no NA pairs to compare with
    for row in result["scores"].values():
        assert all(0 <= row[key][0] <= 1 for key in ("auroc", "average_precision", "precision_at_k"))
        assert len(row["auroc_by_epoch"]) == 2 and row["auroc_by_epoch"][-1] == row["auroc"]
        assert row["auroc_interval"][0] <= row["auroc"][0] <= row["auroc_interval"][1]
        assert row["best_epoch"] == int(np.argmax([mean for mean, _ in row["auroc_by_epoch"]]))
    assert result["noise_rate"]["true"] == [0.25, 0.0]
    assert 0 < result["recorder_share"] < 1
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"fewrel_0.parquet", "fewrel_1.parquet"}


def test_projected_noise(corpus, bert_folder, tmp_path, capsys):
    folder = tmp_path / "data"
    documents = read_documents(corpus / "silver.json")
    gold = [replace(document, relations=document.relations[::2]) for document in documents[:9]]  # the others are wrong
    for name, part in (("redocred/dev_revised", documents), ("redocred/test_revised_first250", gold),
                       ("docred/test_unlabelled", documents[9:])):  # fmt: skip
        denoise.write_documents(part, folder / f"{name}.json")
    flags = ["--corpus", "docred", "--documents", str(folder), "--model", bert_folder, "--seeds", "0"]
    both = denoise.main([*flags, "--half", "both", *SMALL])
    assert both["half"] == "both" and both["preset"] in both["scores"]
    ahead = both["lead"]["first_epoch"]
    assert ahead[0] == pytest.approx(
        both["scores"]["evidence"]["auroc"][0] - both["scores"]["first_epoch"]["auroc"][0]
    )
    assert both["judged"][0] <= both["labels"][0] and 0 < both["wrong"][0] < both["judged"][0]


def test_missing_labels(corpus, bert_folder, tmp_path, capsys):
    folder = tmp_path / "data"
    gold = read_documents(corpus / "silver.json")
    silver = [replace(document, relations=document.relations[::2]) for document in gold]  # the others are missing
    for name, part in (("redocred/dev_revised", gold[:6]), ("redocred/test_revised_first250", gold[6:]),
                       ("docred/incomplete_labels", silver)):  # fmt: skip
        write_documents(part, folder / f"{name}.json")
    (folder / "docred" / "rel_info.json").write_bytes((corpus / "rel_info.json").read_bytes())
    flags = ["--documents", str(folder), "--model", bert_folder, "--seeds", "0", "1", *SMALL, "--bf16", "false"]
    result = missing_labels.main(flags)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == result
    for half, documents in (("choose", gold[:6]), ("report", gold[6:])):
        labelled = {(d.title, fact.head, fact.tail) for d in silver for fact in d.relations}
        missing = [(d.title, fact.head, fact.tail) for d in documents for fact in d.relations]
        assert result[half]["missing"] == sum(pair not in labelled for pair in missing) > 0
        assert result[half]["documents"] == len(documents)
        for row in result[half]["scores"].values():
            assert 0 <= row["average_precision"] <= 1 and row["interval"][0] <= row["interval"][1]


def test_missing_labels_of_drawn_documents_against_copies():
    rng = np.random.default_rng(0)
    scores, right = rng.random((12, 3)), rng.random((12, 3)) < 0.3
    document = np.repeat(np.arange(4), 3)
    draws = rng.multinomial(4, [0.25] * 4, 5)
    found = missing_labels.drawn_precisions(scores, right, document, draws)
    for times, value in zip(draws, found, strict=True):
        copies = times[document]
        s, r = (np.repeat(values, copies, axis=0).ravel() for values in (scores, right))
        # of tied scores, `average_precision` finds all together
        assert value == pytest.approx(average_precision(s, r), abs=1e-9)


def test_no_corpus(bert_folder, monkeypatch, capsys):
    monkeypatch.delenv("FINECL_REAL_DATA", raising=False)
    with pytest.raises(SystemExit):
        denoise.main(["--corpus", "docred", "--model", bert_folder])
    assert "--documents" in capsys.readouterr().err


@pytest.mark.parametrize("module", [pretrain_step, denoise_step, finetune_step, inference])
def test_step_costs(module, corpus, bert_folder, capsys):
    file = "silver.json" if module in (pretrain_step, denoise_step) else "gold_train.json"
    flags = ["--documents", str(corpus / file), "--model", bert_folder, "--batch_size", "2", "--repeats", "1"]
    result = module.main(flags if module is inference else [*flags, "--max_seq_length", "64"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == result
    seconds = result["batch_s" if module is inference else "step_s"]
    assert {"bare_encoder_s", "ratio", "tokens_per_s", "peak_rss_mb", "fastest_layout"} <= result.keys()
    assert result["ratio"] == pytest.approx(seconds / result["bare_encoder_s"], rel=0.05)
    assert result["tokens_per_s"] > 0 and (module is inference or result["collate_ms"] > 0)


def test_a_step_of_chunks_is_measured_whole(corpus, bert_folder):
    flags = ["--documents", str(corpus / "silver.json"), "--model", bert_folder, "--batch_size", "2", "--repeats", "1"]
    one, four = (pretrain_step.main([*flags, *more]) for more in ([], ["--contrastive_batch_size", "8"]))
    assert four["tokens_per_s"] * four["step_s"] > 2 * one["tokens_per_s"] * one["step_s"]


@pytest.mark.parametrize("folder", ["bert_folder", "roberta_folder"])
def test_the_floor_encodes_the_same_tokens_in_every_layout(folder, request, monkeypatch):
    encoder = AutoModel.from_pretrained(request.getfixturevalue(folder)).eval()
    generator = torch.Generator().manual_seed(0)
    sequences = [torch.randint(5, 60, (length,), generator=generator) for length in (7, 30, 12, 19, 3)]
    with torch.no_grad():
        alone = torch.cat([encoder(input_ids=ids[None])[0][0] for ids in sorted(sequences, key=len)])
        enable_packing(encoder)
        monkeypatch.setattr(step_cost, "MASKED", 40)  # several sequences, in more than one row
        monkeypatch.setattr(step_cost, "PACKS", (20, 40, 2**20))
        found = step_cost.layouts(sequences, encoder.config)
        assert len(found) == 3 + 1 + 3
        for name, layout in found.items():
            hidden = [encoder(**inputs)[0] for inputs in layout]
            if name.startswith("packed"):
                hidden = torch.cat([h[0] for h in hidden])
            else:
                masks = [inputs["attention_mask"].bool() for inputs in layout]
                hidden = torch.cat([h[m] for h, m in zip(hidden, masks, strict=True)])
            torch.testing.assert_close(hidden, alone, atol=2e-5, rtol=1e-4)


@pytest.mark.slow
def test_recorder(tmp_path, capsys):
    flags = ["--only", "table", "--labels", "600", "--epochs", "3", "--folder", str(tmp_path)]
    recorder.main(flags)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    told = json.dumps(result)
    assert all(f'"{name}"' in told for name in SCORES)


@pytest.mark.slow
def test_preprocess(corpus, bert_folder, tmp_path, capsys):
    flags = ["--documents", str(corpus / "silver.json"), "--model", bert_folder, "--workers", "2", "--batches", "1"]
    result = preprocess.main([*flags, "--sizes", "30", "--folder", str(tmp_path)])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == result
    (row,) = result["sizes"]
    labels = [len(document.relations) for document in read_documents(corpus / "silver.json")]
    assert row["documents"] == 30 and row["shards"] == 2 and row["first"]["facts"] == 2 * sum(labels) + sum(labels[:2])
    assert row["second"]["batches"] == row["order"]["batches"] == 1
    assert all(0 < row[phase]["peak_anon"] <= row[phase]["peak_rss"] for phase in preprocess.PHASES)
    assert result["growth"] == dict.fromkeys(preprocess.PHASES, 0) and not list(tmp_path.iterdir())


def test_few_shot(fewrel, bert_folder, tmp_path, capsys):
    flags = ["--documents", str(fewrel), "--model", bert_folder, "--ways", "2", "--shots", "1", "3", "--queries", "2"]
    result = few_shot.main([*flags, "--episodes", "60", "--seeds", "0", "1"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == result
    assert [(row["ways"], row["shots"]) for row in result["results"]] == [(2, 1), (2, 3)]
    for row in result["results"]:
        assert 0.5 < row["accuracy"] <= 1 and row["accuracy"] == pytest.approx(np.mean(row["seeds"]), abs=1e-4)
    centred = few_shot.main([*flags, "--episodes", "20", "--center", "--num_layers", "1", "--sentences", "5"])
    assert all(0.5 < row["accuracy"] <= 1 for row in centred["results"])
    with pytest.raises(FineCLError, match="the rarest of 12"):
        few_shot.main([*flags, "--shots", "11"])
    seen = sorted({document.label for document in read_documents(fewrel)})[1:]
    (tmp_path / "seen.json").write_text(json.dumps(dict.fromkeys(seen, "a relation of the pre-training corpus")))
    with pytest.raises(FineCLError, match="there are 1"):
        few_shot.main([*flags, "--leave_out", str(tmp_path / "seen.json")])
    with pytest.raises(FineCLError, match="there are 2"):
        few_shot.main([*flags, "--ways", "3", "--relations", "report"])


def test_episodes_by_loops():
    """Different relations, different sentences, and the nearest prototype."""
    generator = torch.Generator().manual_seed(0)
    table = torch.arange(30).reshape(5, 6)
    table[2, 4:] = -1
    rows = few_shot.draw(table, 3, 4, 200, generator)
    assert rows.min() == 0 and set(rows.flatten().tolist()) == set(table[table >= 0].tolist())
    for episode in rows.tolist():
        relations = [{row // 6 for row in sentences} for sentences in episode]
        assert all(len(relation) == 1 for relation in relations) and len(set.union(*relations)) == 3
        assert all(len(set(sentences)) == 4 for sentences in episode)
    halves = torch.randn(30, 2, 7, generator=generator)
    found = few_shot.judge(halves[rows[:20]], shots=2, center=False)
    for episode, accuracy in zip(halves[rows[:20]].flatten(3), found.tolist(), strict=True):
        pairs = episode / episode.norm(dim=2, keepdim=True)
        prototypes = [pairs[way, :2].mean(0) for way in range(3)]
        prototypes = [p / p.norm() for p in prototypes]
        right = [max(range(3), key=lambda w, q=q: float(q @ prototypes[w])) == way for way in range(3)
                 for q in pairs[way, 2:]]  # fmt: skip
        assert accuracy == pytest.approx(sum(right) / 6)


@pytest.mark.parametrize("train", [False, True])
def test_large_document(train, bert_folder, tmp_path, ada, curie):
    flags = ["--model", str(bert_folder), "--threads", "1"]
    if train:
        result = large_document.main([*flags, "--words", "60", "--entities", "5", "--train"])
        assert (result["words"], result["entities"], result["pairs"]) == (60, 5, 20)
    else:
        write_documents([ada, curie], tmp_path / "two.json")
        result = large_document.main([*flags, "--documents", str(tmp_path / "two.json")])
        assert result["entities"] == len(ada.entities) + len(curie.entities)
        cut = large_document.joined(str(tmp_path / "two.json"), 1)
        assert cut.sentences == ada.sentences[:1] and all(m.sent_id == 0 for entity in cut.entities for m in entity)
    assert result["seconds"] >= 0 and result["peak_rss_mb"] > 0


def _with_few_labels(documents):
    return [replace(document, relations=document.relations[:1]) for document in documents]


def test_documents_of_incomplete_labels_are_those_that_gold_has_too(corpus, monkeypatch):
    monkeypatch.setattr(incomplete, "ASIDE", 3)
    gold = read_documents(corpus / "gold_train.json")
    parts = incomplete.split(_with_few_labels(gold[2:]), gold)
    titles = {name: [document.title for document in part] for name, part in parts.items()}
    assert titles["judged"] == [document.title for document in gold[:2]]
    assert titles["few"] == titles["all"] == [document.title for document in gold[-3:]]
    assert titles["train"] == [document.title for document in gold[2:-3]]
    assert all(len(document.relations) <= 1 for document in parts["train"] + parts["few"])
    assert parts["all"] == gold[-3:]
    with pytest.raises(SystemExit, match="3 are kept aside"):
        incomplete.split(_with_few_labels(gold[:3]), gold)


@pytest.mark.slow
def test_incomplete_labels(corpus, bert_folder, tmp_path, capfd):
    gold = read_documents(corpus / "gold_train.json")
    write_documents(_with_few_labels(gold), tmp_path / "few.json")
    files = {"incomplete": tmp_path / "few.json", "gold": corpus / "gold_train.json", "model": bert_folder}
    files |= {"test_file": corpus / "gold_test.json", "loss": "pu_bce", "label_prior": "validation", "use_cpu": "true"}
    files["rel_info"] = corpus / "rel_info.json"
    flags = [word for name, value in files.items() for word in (f"--{name}", str(value))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incomplete, "ASIDE", 4)
        result = incomplete.main([*flags, "--seeds", "0", "1", "--num_train_epochs", "1"])
    assert json.loads(capfd.readouterr().out.splitlines()[-1]) == result
    assert result.keys() == {"loss", "seeds", "judged_on", "as_trained", "few_labels", "all_labels"}
    assert all(0 <= mean <= 1 for mean, _ in (result[name] for name in ("as_trained", "few_labels", "all_labels")))
