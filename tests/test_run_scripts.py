"""The three scripts from end to end, and what they say to bad input."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM

import run_denoise
from finecl_hf import FineCLConfig, LearningOrder, RelationExtractionPipeline, read_documents
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.verdicts import Verdict, Verdicts
from finecl_hf.metrics import docred_scores
from finecl_hf.training.arguments import run_script
from tests.helpers.script_runs import MAIN, ROOT, arguments, run


SENTENCES = [
    ("The <e1>fire</e1> was caused by a <e2>candle</e2> .", "Cause-Effect(e2,e1)"),
    ("A <e1>storm</e1> caused the <e2>flood</e2> .", "Cause-Effect(e1,e2)"),
    ("The <e1>author</e1> wrote a <e2>novel</e2> .", "Product-Producer(e2,e1)"),
    ("The <e1>wheel</e1> of the <e2>car</e2> broke .", "Component-Whole(e1,e2)"),
    ("The <e1>man</e1> saw a <e2>bird</e2> .", "Other"),
] * 2


def semeval_file(path, labelled=True, first=1):
    lines = []
    for number, (sentence, relation) in enumerate(SENTENCES, first):
        lines += [f'{number}\t"{sentence}"', *([relation, "Comment:", ""] if labelled else [])]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def without_labels(documents):
    return [{key: value for key, value in document.items() if key != "labels"} for document in documents]


def saved(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("encoder", ["bert_folder", "roberta_folder"])
def test_three_stages_and_the_pipeline(encoder, corpus, tmp_path, request):
    encoder = request.getfixturevalue(encoder)
    denoised, pretrained, extractor = (tmp_path / name for name in ("denoised", "pretrained", "extractor"))

    order = run("denoise", encoder, corpus, denoised)
    assert order.num_epochs == 2
    assert set(order.instance_id.to_pylist()) == set(saved(corpus, "truth.json"))
    written = LearningOrder.read(denoised / "learning_order.parquet")
    assert written.to_table().equals(order.to_table())

    # A random tiny model may learn next to nothing; give half of the labels an epoch, so that they can be anchors.
    order = LearningOrder(order.instance_id, first_epoch=np.arange(len(order)) % 4 - 1)
    order.write(tmp_path / "order.parquet")
    run("pretrain", encoder, corpus, pretrained, learning_order=tmp_path / "order.parquet")
    for kind in (AutoModel, AutoModelForMaskedLM):
        assert type(kind.from_pretrained(pretrained)).__module__.startswith("transformers.")

    splits = {f"{name}_file": corpus / f"gold_{name}.json" for name in ("validation", "test")}
    results = run("finetune", pretrained, corpus, extractor, **splits)
    assert {"eval_f1", "eval_ign_f1", "test_f1", "test_ign_f1"} <= results.keys()
    assert saved(extractor, "test_results.json")["test_f1"] == results["test_f1"]
    assert 0 <= results["test_co_occurrence_fpr"] <= 1 and 0 <= results["test_ece"] <= 1
    card = (extractor / "README.md").read_text(encoding="utf-8")
    assert "Co-occurrence FPR" in card and "Expected calibration error" in card
    for folder in (denoised, pretrained, extractor):
        assert "FineCL" in (folder / "README.md").read_text(encoding="utf-8")

    documents = read_documents(splits["test_file"])
    extracted = RelationExtractionPipeline.from_pretrained(str(extractor))(documents)
    found = {
        (document.title, triple["h_idx"], triple["t_idx"], triple["relation"])
        for document, triples in zip(documents, extracted, strict=True)
        for triple in triples
    }
    rows = saved(extractor, "predictions.json")
    assert found == {(row["title"], row["h_idx"], row["t_idx"], row["r"]) for row in rows}


def test_predictions_score_as_the_results_say(bert_folder, corpus, tmp_path):
    splits = {f"{name}_file": corpus / f"gold_{name}.json" for name in ("validation", "test")}
    run(
        "finetune",
        bert_folder,
        corpus,
        tmp_path / "out",
        **splits,
        head="bilinear",
        train_fraction=0.5,
        train_file=corpus / "gold_train.json",
    )
    results = saved(tmp_path / "out", "test_results.json")
    gold = read_documents(splits["test_file"])
    assert saved(tmp_path / "out", "predictions.json")
    scores = docred_scores(
        saved(tmp_path / "out", "predictions.json"), gold, read_documents(corpus / "gold_train.json")
    )
    for name in ("f1", "precision", "recall", "intra_f1", "inter_f1"):
        assert results[f"test_{name}"] == pytest.approx(scores[name]), name
    with open(tmp_path / "out" / "per_relation.csv", newline="") as file:
        table = list(csv.DictReader(file))
    facts = Counter(row["r"] for row in saved(tmp_path / "out", "predictions.json"))
    assert {row["relation"]: int(row["predicted"]) for row in table if int(row["predicted"])} == facts
    assert sum(int(row["gold"]) for row in table) == sum(len(document.relations) for document in gold)
    chart = (tmp_path / "out" / "precision_recall.svg").read_text()
    assert "validation" in chart and "test" in chart
    assert "test_evidence_f1" not in results  # no evidence is predicted


def test_every_label_within_reach_is_observed_in_every_epoch(bert_folder, corpus, tmp_path, trainers):
    order = run("denoise", bert_folder, corpus, tmp_path, num_train_epochs=3)
    rows = order.rows_of([key for row in trainers[0].train_dataset for key in row["fact_key"]])
    assert len(rows) == len(set(rows)) > 20 and rows.min() >= 0
    assert order.observed[rows].all() and order.observed.sum() == 3 * len(rows)


def test_paper_preset(bert_folder, corpus, tmp_path, trainers):
    words = arguments("denoise", bert_folder, corpus, tmp_path)
    kept = [word for i, word in enumerate(words) for name in [words[i - 1] if not word.startswith("--") else word]
            if name not in ("--learning_rate", "--per_device_train_batch_size", "--num_train_epochs")]  # fmt: skip
    run_denoise.main([*kept, "--preset", "paper", "--num_train_epochs", "1"])
    args = trainers[0].args
    assert (args.learning_rate, args.per_device_train_batch_size, args.loss) == (4e-5, 32, "bce")
    assert (args.num_train_epochs, args.na_ratio, args.order_mode) == (1, 3.0, "batch")
    assert args.max_grad_norm == 0.1
    assert FineCLConfig.from_pretrained(tmp_path).loss == "bce"


def test_bf16(bert_folder, corpus, tmp_path):
    order = run("denoise", bert_folder, corpus, tmp_path / "1", "--bf16", order_mode="epoch")
    assert order.num_epochs == 2
    run("pretrain", bert_folder, corpus, tmp_path / "2", "--bf16")
    validation = corpus / "gold_validation.json"
    results = run("finetune", tmp_path / "2", corpus, tmp_path / "3", "--bf16", validation_file=validation)
    assert np.isfinite(results["eval_loss"])
    assert AutoModel.from_pretrained(tmp_path / "2").dtype == torch.float32


@pytest.mark.parametrize("flags", [["--save_strategy", "no"], ["--use_lora", "--save_strategy", "no"]])
def test_sentences(flags, bert_folder, corpus, tmp_path):
    train, out = semeval_file(tmp_path / "train.txt"), tmp_path / "out"
    test = semeval_file(tmp_path / "test.txt", first=100)
    results = run(
        "finetune", bert_folder, corpus, out, "--task", "sentence", *flags,
        train_file=train, validation_file=train, test_file=test, rel_info=None, num_train_epochs=25,
    )  # fmt: skip
    assert {"test_micro_f1", "test_macro_f1", "test_accuracy"} & results.keys()
    with open(out / "confusion.csv", newline="") as file:
        matrix = list(csv.reader(file))
    assert len(matrix) == 1 + 5 and matrix[0][-1] == "NA" and (out / "confusion.svg").exists()
    assert sum(int(count) for row in matrix[1:] for count in row[1:]) == 10
    answers = dict(line.split("\t") for line in (out / "predictions.txt").read_text().splitlines())
    assert list(answers) == [str(number) for number in range(100, 110)]
    assert set(answers.values()) <= {relation for _, relation in SENTENCES}
    config = FineCLConfig.from_pretrained(out)
    assert (config.task, config.loss, config.num_labels) == ("sentence", "softmax", 5)


def test_train_fraction(bert_folder, corpus, tmp_path, trainers):
    run("finetune", bert_folder, corpus, tmp_path, train_fraction=0.25, num_train_epochs=1)
    assert len(trainers[0].train_dataset) == 3
    drawn = saved(tmp_path, "train_documents.json")
    titles = {document.key: document.title for document in read_documents(corpus / "gold_train.json")}
    assert sorted(drawn["documents"]) == sorted(titles[int(row["key"])] for row in trainers[0].train_dataset)
    assert trainers[0].relation_model.config.num_labels > 10  # the label set is that of all documents


@pytest.mark.parametrize("task", ["document", "sentence"])
def test_unlabelled_documents_are_predicted_never_scored(task, bert_folder, corpus, tmp_path, caplog):
    out = tmp_path / "out"
    if task == "sentence":
        train, test, names = semeval_file(tmp_path / "a.txt"), semeval_file(tmp_path / "b.txt", False), None
    else:
        train, test, names = corpus / "gold_train.json", tmp_path / "test.json", corpus / "rel_info.json"
        test.write_text(json.dumps(without_labels(saved(corpus, "gold_test.json"))), encoding="utf-8")
    results = run(
        "finetune", bert_folder, corpus, out, "--task", task, train_file=train, test_file=test, rel_info=names
    )
    assert results == {}
    assert not [name for name in saved(out, "all_results.json") if "f1" in name or name == "test_loss"]
    assert (out / ("predictions.txt" if task == "sentence" else "predictions.json")).exists()
    assert "has no labels: it is predicted, not scored" in caplog.text
    assert "model-index" not in (out / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["validation", "test"])
def test_files_without_documents(kind, bert_folder, corpus, tmp_path):
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(FineCLError, match="empty.json.*no document"):
        run("finetune", bert_folder, corpus, tmp_path / "out", **{f"{kind}_file": tmp_path / "empty.json"})


def test_a_validation_set_without_facts(bert_folder, corpus, tmp_path, caplog):
    """Nothing can be chosen on it; its figures are zeros."""
    path = tmp_path / "validation.json"
    path.write_text(json.dumps([{**record, "labels": []} for record in saved(corpus, "gold_validation.json")]))
    results = run("finetune", bert_folder, corpus, tmp_path / "out", validation_file=path, num_train_epochs=1)
    assert results["eval_f1"] == 0 and np.isfinite(results["eval_loss"])
    assert "no validation document has a fact" in caplog.text and "no threshold can be fitted" in caplog.text
    assert (tmp_path / "out" / "precision_recall.svg").exists()


def test_a_model_that_predicts_nothing(bert_folder, corpus, tmp_path):
    run("finetune", bert_folder, corpus, tmp_path / "model", num_train_epochs=1)
    config = FineCLConfig.from_pretrained(tmp_path / "model")
    config.threshold = 1e6
    config.save_pretrained(tmp_path / "model")
    options = {f"{name}_file": corpus / f"gold_{name}.json" for name in ("validation", "test")}
    options |= {"train_file": None, "rel_info": None}
    results = run("finetune", tmp_path / "model", corpus, tmp_path / "out", "--do_eval", "--do_predict", **options)
    assert results["eval_f1"] == results["test_f1"] == results["test_precision"] == 0
    assert saved(tmp_path / "out", "predictions.json") == []
    rows = (tmp_path / "out" / "per_relation.csv").read_text().splitlines()
    assert len(rows) > 5 and all(row.endswith(",0,0.0000,0.0000,0.0000") for row in rows[1:])


def test_a_relation_model_of_another_label_set(bert_folder, corpus, tmp_path):
    """It cannot judge documents with other relations; and a head that does not fit its configuration is no model."""
    gold = saved(corpus, "gold_train.json")
    relation = gold[0]["labels"][0]["r"]
    few = [{**record, "labels": [fact for fact in record["labels"] if fact["r"] == relation]} for record in gold]
    (tmp_path / "few.json").write_text(json.dumps(few))
    (tmp_path / "names.json").write_text(json.dumps({relation: "one"}))
    model, nothing = tmp_path / "one", {"train_file": None, "rel_info": None}
    run("finetune", bert_folder, corpus, model, train_file=tmp_path / "few.json", rel_info=tmp_path / "names.json",
        num_train_epochs=1)  # fmt: skip
    with pytest.raises(FineCLError, match="is not among the 1 relations the model knows"):
        run("finetune", model, corpus, tmp_path / "a", "--do_eval",
            validation_file=corpus / "gold_validation.json", **nothing)  # fmt: skip
    config = saved(model, "config.json")
    config |= {"id2label": {**config["id2label"], "2": "more"}, "label2id": {**config["label2id"], "more": 2}}
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(FineCLError, match=str(model)):
        run("finetune", model, corpus, tmp_path / "b", "--do_predict", test_file=tmp_path / "few.json", **nothing)


def test_a_head_that_is_unknown(bert_folder, corpus, tmp_path):
    with pytest.raises((FineCLError, SystemExit), match="what"):
        run("finetune", bert_folder, corpus, tmp_path / "other", head="what")


def test_held_out_pairs_leave_the_training_data(bert_folder, corpus, tmp_path, caplog):
    order = run("denoise", bert_folder, corpus, tmp_path, num_train_epochs=1, exclude_file=corpus / "silver.json",
                train_file=corpus / "gold_train.json")  # fmt: skip
    assert len(order) > 0
    assert "facts about entity pairs" in caplog.text


BAD = ["missing", "not JSON", "empty", "no labels", "unknown relation", "other order", "no model", "fraction",
       "no weights", "damaged weights", "no tokenizer", "output is a file", "no validation set",
       "unlabelled validation"]  # fmt: skip


def bad_command(kind, model, corpus, folder):
    """A stage, its command line, and words that the error must hold."""
    path, out = folder / "bad.json", folder / "out"
    documents = saved(corpus, "gold_validation.json")
    if kind == "missing":
        return "denoise", arguments("denoise", model, corpus, out, train_file=path), [str(path)]
    if kind == "not JSON":
        path.write_text("{'title': 1", encoding="utf-8")
        return "pretrain", arguments("pretrain", model, corpus, out, train_file=path), [str(path)]
    if kind == "empty":
        path.write_text("", encoding="utf-8")
        return "finetune", arguments("finetune", model, corpus, out, train_file=path), [str(path)]
    if kind == "no labels":
        path.write_text(json.dumps(without_labels(documents)), encoding="utf-8")
        command = arguments("finetune", model, corpus, out, train_file=path, rel_info=None)
        return "finetune", command, ["label set is empty", "labels"]
    if kind == "unlabelled validation":
        path.write_text(json.dumps([*without_labels(documents[:1]), *documents[1:]]), encoding="utf-8")
        command = arguments("finetune", model, corpus, out, validation_file=path)
        return "finetune", command, [f"{path}: 1 of {len(documents)} validation documents have no `labels`"]
    if kind == "unknown relation":
        documents[1]["labels"].append({"h": 0, "t": 1, "r": "P_unknown", "evidence": []})
        path.write_text(json.dumps(documents), encoding="utf-8")
        command = arguments("finetune", model, corpus, out, validation_file=path)
        return "finetune", command, ["P_unknown", documents[1]["title"], str(path)]
    if kind == "other order":
        LearningOrder(["another corpus"], first_epoch=[0]).write(folder / "order.parquet")
        command = arguments("pretrain", model, corpus, out, learning_order=folder / "order.parquet")
        return "pretrain", command, ["another corpus"]
    if kind == "no model":
        return "denoise", arguments("denoise", folder / "nowhere", corpus, out), ["nowhere"]
    if kind in ("no weights", "damaged weights", "no tokenizer"):
        copy = shutil.copytree(model, folder / "model")
        for file in copy.glob("tokenizer*" if kind == "no tokenizer" else "*.safetensors"):
            file.write_bytes(file.read_bytes()[:500]) if kind == "damaged weights" else file.unlink()
        stage = "pretrain" if kind == "damaged weights" else "denoise"
        return stage, arguments(stage, copy, corpus, out), [str(copy)]
    if kind == "output is a file":
        out.write_text("", encoding="utf-8")
        return "pretrain", arguments("pretrain", model, corpus, out), [f"--output_dir {out}"]
    if kind == "no validation set":
        return "finetune", arguments("finetune", model, corpus, out, eval_strategy="epoch"), ["eval_strategy"]
    return "finetune", arguments("finetune", model, corpus, out, train_fraction=1.5), ["--train_fraction 1.5"]


def assert_one_sentence(error, words):
    lines = error.strip().splitlines()
    assert [line for line in lines if line.startswith("error:")] == lines[-1:]
    assert "Traceback" not in error
    for word in words:
        assert word in lines[-1]


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_sentence(kind, bert_folder, corpus, tmp_path, capsys):
    stage, command, words = bad_command(kind, bert_folder, corpus, tmp_path)
    with pytest.raises(SystemExit) as exit:
        run_script(lambda: MAIN[stage](command))
    assert exit.value.code == 2
    assert_one_sentence(capsys.readouterr().err, words)


@pytest.mark.parametrize("kind", ["truncated", "other columns", "other corpus", "less than half"])
def test_a_bad_order_is_one_sentence(kind, bert_folder, corpus, order_file, tmp_path, capsys):
    """Stage 2 never starts with weights that mean nothing."""
    words = [str(order_file)]
    if kind == "truncated":
        order_file.write_bytes(order_file.read_bytes()[:-100])
        words.append("no parquet, or damaged; copy it again or repeat stage 1")
    elif kind == "other columns":
        pq.write_table(pa.table({"uid": ["a"], "epoch": [1]}), order_file)
        words.append("the column instance_id is missing")
    else:
        ids = LearningOrder.read(order_file).instance_id.to_pylist()
        ids = ids[: len(ids) // 3] if kind == "less than half" else [f"{name}?" for name in ids]
        LearningOrder(ids, first_epoch=[0] * len(ids)).write(order_file)
        words.append("--allow_partial_order true" if kind == "less than half" else "belongs to another corpus")
    command = arguments("pretrain", bert_folder, corpus, tmp_path / "out", learning_order=order_file)
    with pytest.raises(SystemExit) as exit:
        run_script(lambda: MAIN["pretrain"](command))
    assert exit.value.code == 2
    assert_one_sentence(capsys.readouterr().err, words)
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_a_partial_order_may_be_allowed(bert_folder, corpus, order_file, tmp_path, caplog):
    ids = LearningOrder.read(order_file).instance_id.to_pylist()
    LearningOrder(ids[: len(ids) // 3], first_epoch=[0] * (len(ids) // 3)).write(order_file)
    run("pretrain", bert_folder, corpus, tmp_path / "out", "--allow_partial_order", "true", learning_order=order_file)
    assert "it does not know" in caplog.text and "They take no part in stage 2." in caplog.text
    assert (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.slow
def test_bad_input_in_a_process_of_its_own(bert_folder, corpus, tmp_path):
    stage, command, words = bad_command("unknown relation", bert_folder, corpus, tmp_path)
    script = ROOT / f"run_{stage}.py"
    result = subprocess.run([sys.executable, script, *command], capture_output=True, text=True, cwd=tmp_path,
                            env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert result.returncode == 2
    assert_one_sentence(result.stderr, words)


def test_a_configuration_file(bert_folder, corpus, tmp_path):
    words = arguments("denoise", bert_folder, corpus, tmp_path / "out")
    config = {name[2:]: value for name, value in zip(words[::2], words[1::2], strict=True)}
    (tmp_path / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    order = run_denoise.main([str(tmp_path / "config.yaml"), "--num_train_epochs", "1"])
    assert order.num_epochs == 1


def test_labels_judged_wrong_are_not_trained_on(bert_folder, corpus, tmp_path, trainers):
    documents = read_documents(corpus / "silver.json")
    facts = [(document, fact) for document in documents for fact in document.relations][:4]
    kinds = [("right", ""), ("wrong", ""), ("other", facts[0][1].relation), ("unsure", "")]
    rows = [
        Verdict(document.instance_id(fact), document.title, fact.head, fact.tail, fact.relation, *kind)
        for (document, fact), kind in zip(facts, kinds, strict=True)
        if fact.relation != kind[1]
    ]
    verdicts = Verdicts(rows)
    verdicts.write(tmp_path / "v.parquet")
    order = run("denoise", bert_folder, corpus, tmp_path / "out", verdicts=tmp_path / "v.parquet",
                write_clean=tmp_path / "clean.json", clean_share=1.0, num_train_epochs=1, report=True)  # fmt: skip
    trained = {key for row in trainers[0].train_dataset for key in row["fact_key"]}
    for key, sign in verdicts.signs().items():
        assert order.verdict[order.rows_of([key])[0]] == sign
        assert sign > 0 or key not in trained
    assert read_documents(tmp_path / "clean.json") == [verdicts.correct(document) for document in documents]
    assert (tmp_path / "out" / "report.html").exists()
