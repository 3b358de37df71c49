"""What `--push_to_hub` leaves on the Hub, and that it loads from there by name."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import DatasetCard

from finecl_hf import RelationExtractionPipeline, cli, read_documents
from finecl_hf.cards.code_copies import code_copies
from finecl_hf.cards.model_code import FOLDER
from finecl_hf.cards.private_paths import without_folders
from finecl_hf.errors import FineCLError, UploadError
from finecl_hf.extraction.evaluation import write_predictions
from finecl_hf.learning_order.files import SCHEMA
from finecl_hf.learning_order.noise_estimate import noise_of
from finecl_hf.learning_order.trust import unit_trust
from finecl_hf.training.arguments import NOT_UPLOADED, run_script
from finecl_hf.training.scripts import _command
from tests.helpers.fake_hub import FakeHub, hub_environment
from tests.helpers.script_runs import ROOT, arguments, run


RUNS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from finecl_hf import cli
from tests.helpers.script_runs import MAIN

for stage, words in json.loads(sys.argv[2]):
    if stage == "push":
        assert cli.main(["push", *words]) == 0
    else:
        MAIN[stage](words)
"""

LOAD_ENCODER = """
import sys
import torch
from huggingface_hub import ModelCard
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

name, folder = "user/encoder", sys.argv[2] + "/encoder"
for kind in (AutoModel, AutoModelForMaskedLM):
    pushed, local = (kind.from_pretrained(source).base_model.state_dict() for source in (name, folder))
    assert all(torch.equal(pushed[key], local[key]) for key in local if "pooler" not in key)
assert AutoTokenizer.from_pretrained(name)("Ada")["input_ids"]
assert ModelCard.load(name).data.library_name == "transformers"
assert "finecl_hf" not in sys.modules
"""

# Relation models where the package is not installed, by the code that was pushed with them
LOAD_WITHOUT_PACKAGE = """
import json, sys
sys.modules["finecl_hf"] = None  # importing it fails
from transformers import AutoModel, pipeline

found = {}
for name, snippet in json.loads(sys.argv[1]).items():
    space = {}
    exec(snippet, space)
    assert type(space["model"]) is type(space["pipe"].model)
    assert type(space["pipe"]).__module__.startswith("transformers_modules.user.")
    found[name] = space["pipe"](json.load(open("documents.json")), threshold=-1e9)
json.dump(found, open("found.json", "w"))
"""

# As one pushes a model by hand
PUSH = """
import sys
sys.path.insert(0, sys.argv[1])
from finecl_hf import FineCLForRelationExtraction
from transformers import AutoTokenizer

FineCLForRelationExtraction.from_pretrained(sys.argv[2]).push_to_hub("user/by_hand")
AutoTokenizer.from_pretrained(sys.argv[2]).push_to_hub("user/by_hand")
"""

LOAD_RELATION_MODELS = """
import json
sys.path.insert(0, sys.argv[1])
from finecl_hf import FineCLForRelationExtraction, RelationExtractionPipeline, load_relation_model, read_documents

documents = read_documents(sys.argv[3])
for repo in ("denoised", "extractor", "adapter"):
    name, folder = "user/" + repo, sys.argv[2] + "/" + repo
    assert RelationExtractionPipeline.from_pretrained(name)(documents) \\
        == RelationExtractionPipeline.from_pretrained(folder)(documents)
    pushed, local = (load_relation_model(source).state_dict() for source in (name, folder))
    assert all(torch.equal(pushed[key], local[key]) for key in local if "pooler" not in key)
FineCLForRelationExtraction.from_pretrained("user/extractor")
for snippet in json.loads(sys.argv[4]):
    exec(snippet, {})
"""


def run_program(code, *args, hub, folder):
    process = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        env=hub_environment(hub, folder), cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-4000:]


@pytest.fixture(scope="module")
def pushed(bert_folder, corpus, tmp_path_factory):
    """A Hub that all stages were pushed to, and the folder that holds their output folders."""
    folder = tmp_path_factory.mktemp("pushed")
    splits = {f"{name}_file": corpus / f"gold_{name}.json" for name in ("validation", "test")}
    with FakeHub(token="hf_secretsecretsecret") as hub:
        runs = [
            (
                "denoise",
                {
                    "hub_model_id": "user/denoised",
                    "hub_strategy": "every_save",
                    "save_strategy": "epoch",
                    "report": "true",
                },
            ),
            ("pretrain", {"hub_model_id": "user/encoder", "learning_order": "user/denoised"}),  # a dataset by then
            ("finetune", {"hub_token": hub.token, **splits}),  # named by its output folder
            ("finetune", {"hub_model_id": "adapter", "use_lora": "true", **splits}),
        ]
        names = ("denoised", "encoder", "extractor", "adapter")
        at_the_end = {"hub_strategy": "end", "save_strategy": "no"}
        encoders = (bert_folder, bert_folder, bert_folder, "user/encoder")  # which is pushed by then
        lines = [
            (stage, arguments(stage, encoder, corpus, folder / name, "--push_to_hub", **{**at_the_end, **options}))
            for encoder, name, (stage, options) in zip(encoders, names, runs, strict=True)
        ]
        # The classifier of stage 1 is a model of the same name as the dataset
        lines.append(("push", [str(folder / "denoised"), "--hub_model_id", "user/denoised", "--repo_type", "model"]))
        for name in names:
            set_traps(folder / name)
        run_program(RUNS, ROOT, json.dumps(lines), hub=hub, folder=folder)
        yield hub, folder
        assert hub.unknown == []


def files(hub, name):
    return hub.repos[f"models/user/{name}"].files


def card(hub, name, kind="models"):
    text = hub.repos[f"{kind}/user/{name}"].files["README.md"].decode()
    _, header, body = text.split("---\n", 2)
    return yaml.safe_load(header), body


MODEL_FILES = {
    "config.json", "tokenizer.json", "tokenizer_config.json", "README.md", "training_args.json", "trainer_state.json",
    "all_results.json", "train_results.json",
}  # fmt: skip
SECRET = "sesame-7391"


def set_traps(folder):
    """Files that are not the run's, under names that look harmless."""
    folder.mkdir()
    (folder / "private.txt").write_text(SECRET)
    for name in (".env", "notes.txt", "model-old.safetensors", "vocab-old.json", ".hidden.json", "core.bin"):
        (folder / name).write_text(SECRET)
    (folder / FOLDER).mkdir()
    for name in ("mine.py", f"{FOLDER}/mine.py", f"{FOLDER}/model.py"):
        (folder / name).write_text(SECRET)
    (folder / "link.json").symlink_to(folder / "private.txt")
    (folder / "results").mkdir()
    (folder / "results" / "config.json").write_text(SECRET)


MODEL = "model.safetensors"
CODE = {f"{FOLDER}/{name}" for name in code_copies()}


@pytest.mark.parametrize(
    "name, expected",
    [
        ("denoised", {MODEL, *CODE}),
        ("encoder", {MODEL}),
        ("extractor", {MODEL, *CODE, "predictions.json", "eval_results.json", "test_results.json",
                       "per_relation.csv", "precision_recall.svg"}),
        ("adapter", {"adapter_model.safetensors", "adapter_config.json", "predictions.json", "eval_results.json",
                     "test_results.json", "per_relation.csv", "precision_recall.svg"}),
    ],
)  # fmt: skip
def test_what_is_pushed(name, expected, pushed):
    """What the run wrote, and nothing else that lies in its folder."""
    hub, folder = pushed
    assert files(hub, name).keys() == MODEL_FILES | expected | {".gitattributes"} & files(hub, name).keys()
    for path, data in files(hub, name).items():
        local = folder / name / path
        if path == ".gitattributes" or (name, path) == ("denoised", "README.md"):  # which there names the folder
            continue
        if path.endswith(".json"):
            assert json.loads(data) == without_folders(json.loads(local.read_bytes())), path
        else:
            assert data == local.read_bytes(), path
    assert json.loads(files(hub, name)["training_args.json"])["learning_rate"] == 1e-3


def test_stage_1_publishes_its_learning_order(pushed):
    """At its end only: until then, the table holds the labels of the self-test."""
    hub, folder = pushed
    initial, only = hub.repos["datasets/user/denoised"].history
    assert only.files.keys() == {
        "README.md", "learning_order.parquet", "learning_order.png", "missing_labels.parquet", "training_args.json",
    }  # fmt: skip
    assert only.files["learning_order.parquet"] == (folder / "denoised" / "learning_order.parquet").read_bytes()
    missing = pq.read_table(BytesIO(only.files["missing_labels.parquet"]))
    whole = pq.read_table(folder / "denoised" / "missing_labels.parquet")
    assert whole.num_rows > 100 and missing.equals(whole.drop_columns(["head_name", "tail_name"]))
    text = only.files["README.md"].decode()
    data = DatasetCard(text).data
    assert data.size_categories == ["n<1K"] and "learning-order" in data.tags
    assert [config["data_files"] for config in data.configs] == ["learning_order.parquet", "missing_labels.parquet"]
    for column in {*SCHEMA.names, *missing.column_names} - {"verdict"}:
        assert f"`{column}`" in text, column
    assert "--learning_order user/denoised" in text and "(learning_order.png)" in text


LOAD_LEARNING_ORDER = """
from datasets import load_dataset
from finecl_hf import LearningOrder
from finecl_hf.learning_order.missing_labels import read_missing

local = sys.argv[2] + "/denoised/"
table = local + "learning_order.parquet"
missing = read_missing(local + "missing_labels.parquet")
pushed, order = LearningOrder.read("user/denoised"), LearningOrder.read(table)
assert pushed.to_table().equals(order.to_table()) and pushed.num_epochs == 2 and len(pushed) > 50
assert [row.key for row in read_missing("user/denoised")] == [row.key for row in missing]
{snippets}
assert space["order"]["instance_id"][:] == order.instance_id.to_pylist()
assert space["order"]["first_epoch"][:] == order.first_epoch.tolist()
assert len(space["missing"]) == len(missing)
"""


def test_nothing_private_is_pushed(pushed, corpus, bert_folder):
    """Every byte of every commit, tables unpacked: no secret, no path of this machine, no sentence of a document, no
    pickle; in the learning order's dataset no name of an entity either."""
    hub, folder = pushed
    sentence = " ".join(read_documents(corpus / "gold_train.json")[0].sentences[0])
    silver = read_documents(corpus / "silver.json")
    titles = " ".join(document.title for document in silver)
    names = {document.longest_name(at) for document in silver for at in range(len(document.entities))}
    names = {name for name in names if len(name) > 9 and name not in titles}
    private = [SECRET, hub.token, str(folder), str(corpus), str(bert_folder), str(Path.home()), sentence]
    private += [" ".join(document.sentences[0]) for document in silver]
    seen = 0
    for repo_id, repo in hub.repos.items():
        words = [*private, *names] if repo_id.startswith("datasets/") else private
        for commit in repo.history:
            for path, data in commit.files.items():
                seen += 1
                assert not path.endswith((".bin", ".pt", ".pth", ".pkl")) and not Path(path).name.startswith("_"), path
                if path.endswith(".parquet"):
                    table = pq.read_table(BytesIO(data))
                    data += f"{table.schema.metadata} {table.to_pylist()}".encode()
                for word in words:
                    assert word.encode() not in data, (path, word)
    assert seen > 50 and len(names) > 20


def test_cards_tell_what_was_done(pushed, bert_folder):
    hub, folder = pushed
    for name in ("denoised", "encoder", "extractor", "adapter"):
        header, body = card(hub, name)
        assert "finecl" in header["tags"]
        assert "2205.12491" in body
        assert f'"user/{name}"' in body, "the snippet must load the repository"
        assert str(folder) not in body.split("## Training", 1)[0], "a path of this machine in the snippet"
    results = json.loads((folder / "extractor" / "all_results.json").read_text())
    header, _ = card(hub, "extractor")
    metrics = {
        (entry["dataset"]["split"], metric["type"]): metric["value"]
        for entry in header["model-index"][0]["results"]
        for metric in entry["metrics"]
    }
    assert metrics["validation", "f1"] == pytest.approx(results["eval_f1"])
    assert metrics["test", "ign_f1"] == pytest.approx(results["test_ign_f1"])
    assert card(hub, "adapter")[0]["base_model"] == "user/encoder"
    assert card(hub, "adapter")[0]["library_name"] == "peft"
    assert "model-index" not in card(hub, "encoder")[0]
    assert card(hub, "encoder")[0]["datasets"] == ["user/denoised"]
    assert "trained on distantly supervised labels" in card(hub, "denoised")[1]
    assert "distantly supervised" not in card(hub, "extractor")[1]


@pytest.mark.parametrize("name", ["denoised", "encoder", "extractor", "adapter"])
def test_cards_are_made_again(name, pushed, tmp_path, monkeypatch, capsys):
    """`finecl-hf card`, from what lies in the folder, wherever one stands."""
    folder = pushed[1] / name
    monkeypatch.chdir(tmp_path)
    assert cli.main(["card", str(folder)]) == 0
    assert capsys.readouterr().out == (folder / "README.md").read_text(encoding="utf-8")


def test_commands_name_the_script_that_ran(pushed):
    """Here the scripts' `main` was called from another program."""
    hub, _ = pushed
    scripts = {"denoised": "denoise", "encoder": "pretrain", "extractor": "finetune", "adapter": "finetune"}
    for name, stage in scripts.items():
        command = re.search(r"## Reproduction\n\n```bash\n(.*?)\n```", card(hub, name)[1])[1]
        assert command.startswith(f"python run_{stage}.py --model_name_or_path ")


def test_commands_of_several_processes_are_launched():
    assert _command(2, "run_denoise.py", ["--bf16"]) == [
        "accelerate", "launch", "--num_processes", "2", "run_denoise.py", "--bf16",
    ]  # fmt: skip


def test_hyperparameters_appear_once_and_none_is_claimed_to_be_set(pushed):
    hub, _ = pushed
    for name in ("denoised", "encoder", "extractor", "adapter"):
        section = card(hub, name)[1].split("## Hyper-parameters")[1].split("## Reproduction")[0]
        names = re.findall(r"^\| `(\w+)` ", section, re.MULTILINE)
        assert len(names) == len(set(names))
        assert {"num_train_epochs", "max_steps"} & set(names)
        assert not {"loss", "na_weight"} & set(re.findall(r"`(\w+)` \|", section.split("<details>")[0]))


def snippets(hub, name, kind="models"):
    """The Python of a card."""
    return re.findall(r"```python\n(.*?)```", card(hub, name, kind)[1], re.DOTALL)


def test_all_loads_by_name(pushed, corpus, tmp_path):
    """The encoder without this library, relation models, adapters and the learning order with it, and as the cards
    show it."""
    hub, folder = pushed
    shown = [snippets(hub, name)[0] for name in ("denoised", "encoder", "extractor", "adapter")]
    shutil.copy(corpus / "gold_test.json", tmp_path / "documents.json")
    order, trust = snippets(hub, "denoised", "datasets")
    shown_order = f"space = {{}}\nexec({order!r}, space)\nexec({trust!r}, {{}})"
    code = LOAD_ENCODER + LOAD_RELATION_MODELS + LOAD_LEARNING_ORDER.replace("{snippets}", shown_order)
    run_program(code, ROOT, folder, corpus / "gold_test.json", json.dumps(shown), hub=hub, folder=tmp_path)


@pytest.mark.slow
def test_relation_models_load_without_the_package(pushed, corpus, tmp_path):
    """As their cards show it; what was pushed by hand has its code with it, too."""
    hub, folder = pushed
    run_program(PUSH, ROOT, folder / "extractor", hub=hub, folder=tmp_path)
    (_, code) = snippets(hub, "extractor")
    shown = {"extractor": code, "by_hand": code.replace("user/extractor", "user/by_hand")}
    shutil.copy(corpus / "gold_test.json", tmp_path / "documents.json")
    run_program(LOAD_WITHOUT_PACKAGE, json.dumps(shown), hub=hub, folder=tmp_path)
    found = json.loads((tmp_path / "found.json").read_text())
    documents = json.loads((corpus / "gold_test.json").read_text())
    expected = RelationExtractionPipeline.from_pretrained(str(folder / "extractor"))(documents, threshold=-1e9)
    assert found["extractor"] == json.loads(json.dumps(expected)) and sum(map(len, expected)) > 100
    assert found["by_hand"] == found["extractor"]
    assert hub.repos.pop("models/user/by_hand").files.keys() >= CODE


# What becomes of a run where the Hub cannot be reached


OFFLINE = {  # the tests are
    "denoise": {
        "hub_model_id": "org/order",
        "hub_private_repo": "true",
        "hub_revision": "v1",
        "push_report": "true",
        "report": "true",
    },
    "pretrain": {"hub_model_id": "org/encoder"},
    "finetune": {"use_lora": "true"},
}
LATER = {
    "denoise": "--hub_model_id org/order --hub_private_repo --hub_revision v1 --push_report",
    "pretrain": "--hub_model_id org/encoder",
    "finetune": "--hub_model_id finetune",
}
LOAD_LATER = """
import sys
from finecl_hf import LearningOrder
from transformers import AutoModel

read = [LearningOrder.read(path).to_table() for path in ("org/order@v1", "denoise/learning_order.parquet")]
assert read[0].equals(read[1])
AutoModel.from_pretrained("org/encoder")
"""


@pytest.mark.parametrize(
    "stage", ["pretrain", *(pytest.param(stage, marks=pytest.mark.slow) for stage in ("denoise", "finetune"))]
)
def test_an_upload_that_fails_leaves_the_finished_run(stage, bert_folder, corpus, tmp_path, capsys):
    out = tmp_path / "finetune"
    with pytest.raises(SystemExit) as end:
        run_script(lambda: run(stage, bert_folder, corpus, out, push_to_hub="true", **OFFLINE[stage]))
    assert end.value.code == NOT_UPLOADED
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "OfflineModeIsEnabled" in error and error.endswith(f" finecl-hf push {out} {LATER[stage]}")
    written = {path.name for path in out.iterdir()}
    assert written >= {"README.md", "card.json", "config.json", "trainer_state.json", "training_args.json"}
    assert {"model.safetensors", "adapter_model.safetensors"} & written
    assert not [name for name in written if name.startswith(".")]  # no lock, and nothing half written


@pytest.mark.slow
def test_finished_runs_are_uploaded_later(bert_folder, corpus, tmp_path, monkeypatch):
    """By the command that the run names; with all that a push of the run itself has, and nothing else."""
    lines = []
    for stage, options in OFFLINE.items():
        set_traps(tmp_path / stage)
        with pytest.raises(UploadError) as caught:
            run(stage, bert_folder, corpus, tmp_path / stage, push_to_hub="true", **options)
        lines.append(("push", shlex.split(str(caught.value).partition("finecl-hf push ")[2])))
    with open(tmp_path / "pretrain" / "README.md", "a") as file:
        file.write("A line of mine.")
    with FakeHub(token="hf_secretsecretsecret") as hub:
        run_program(RUNS, ROOT, json.dumps(lines), hub=hub, folder=tmp_path)
        run_program(LOAD_LATER, hub=hub, folder=tmp_path)
        assert hub.unknown == []
    order, encoder, adapter = (hub.repos[name] for name in ("datasets/org/order", "models/org/encoder",
                                                            "models/user/finetune"))  # fmt: skip
    assert (order.private, encoder.private, adapter.private) == (True, False, False)
    assert not order.files  # of the main branch
    published = order.branches["v1"][-1].files
    assert published.keys() == {"README.md", "learning_order.parquet", "learning_order.png", "missing_labels.parquet",
                                "training_args.json", "report.html", "report.md"}  # fmt: skip
    assert "head_name" in pq.read_schema(BytesIO(published["missing_labels.parquet"])).names
    assert "It quotes the documents" in published["README.md"].decode()
    assert encoder.files.keys() == MODEL_FILES | {MODEL}
    assert encoder.files["README.md"].endswith(b"A line of mine.")
    assert adapter.files.keys() == MODEL_FILES | {"adapter_model.safetensors", "adapter_config.json"}
    assert b'"user/finetune"' in adapter.files["README.md"]
    private = (SECRET, hub.token, str(tmp_path), str(bert_folder))
    for files in (published, encoder.files, adapter.files):
        for path, data in files.items():
            if path not in ("report.html", "report.md"):
                assert not [word for word in private if word.encode() in data], path


@pytest.mark.parametrize(
    "words, message",
    [(["nowhere"], "there is no such folder"), (["."], "there is no card.json")],
)
def test_only_finished_runs_are_uploaded(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["push", *words]) == 2
    assert message in capsys.readouterr().err


def test_other_processes_write_no_predictions():
    class OtherProcess:
        def is_world_process_zero(self):
            return False

    write_predictions(OtherProcess(), [], [])


# What stage 1 leaves beside its table


def test_report_noise_and_cleaned_corpus(bert_folder, corpus, tmp_path, capsys):
    clean = tmp_path / "clean.json"
    options = {"write_clean": clean, "clean_share": 0.5, "long_documents": "truncate", "report": True}
    order = run("denoise", bert_folder, corpus, tmp_path / "out", **options)
    said = capsys.readouterr().out
    assert "labels are wrong, this run cannot tell" in said and f"Wrote {clean}: kept " in said
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "evidence" in report and (tmp_path / "out" / "report.md").exists()
    kept = {document.instance_id(fact) for document in read_documents(clean) for fact in document.relations}
    trust = dict(zip(order.instance_id.to_pylist(), unit_trust("evidence", order), strict=True))
    judged = set(order.instance_id.filter(order.judged).to_pylist())
    assert 0 < len(judged) < len(order) and len(kept & judged) == round(len(judged) / 2)
    assert min(trust[instance] for instance in kept & judged) >= max(trust[i] for i in judged - kept)
    assert kept - judged == set(trust) - judged  # nothing is known against what lies past the length
    assert f"kept {len(kept - judged)} labels that stage 1 has not judged" in said
    assert f"{len(kept - judged)} more labels lie past the length" in report


def test_by_default_as_many_labels_are_kept_as_look_right(bert_folder, corpus, tmp_path):
    order = run("denoise", bert_folder, corpus, tmp_path / "out", write_clean=tmp_path / "clean.json")
    kept = sum(len(document.relations) for document in read_documents(tmp_path / "clean.json"))
    judged = int(order.judged.sum())
    assert kept == len(order) - judged + round(judged * (1 - noise_of(order).overall.rate))


def test_another_score_and_a_threshold(bert_folder, corpus, tmp_path):
    flags = {"write_clean": tmp_path / "clean.json", "clean_threshold": 0.3, "score": "first_epoch", "report": True}
    order = run("denoise", bert_folder, corpus, tmp_path / "out", **flags)
    run("denoise", bert_folder, corpus, tmp_path / "quiet", num_train_epochs=1)
    assert not (tmp_path / "quiet" / "report.html").exists()
    kept = {
        document.instance_id(f) for document in read_documents(tmp_path / "clean.json") for f in document.relations
    }
    trust = unit_trust("first_epoch", order)
    rows = zip(order.instance_id.to_pylist(), trust, order.judged, strict=True)
    assert kept == {instance for instance, score, judged in rows if score >= 0.3 or not judged}
    assert "first_epoch" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name, message", [("clean.csv", "jsonl"), ("folder.json", "cannot be written")])
def test_what_cannot_be_written_is_known_before_training(name, message, bert_folder, corpus, tmp_path, trainers):
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(FineCLError, match=message):
        run("denoise", bert_folder, corpus, tmp_path / "out", write_clean=tmp_path / name)
    with pytest.raises(FineCLError, match="this file is read"):
        run("denoise", bert_folder, corpus, tmp_path / "out", write_clean=corpus / "silver.json")
    names = {"rel_info": corpus / "rel_info.json", "exclude_file": corpus / "gold_test.json"}
    for path in names.values():
        with pytest.raises(FineCLError, match="this file is read"):
            run("denoise", bert_folder, corpus, tmp_path / "out", write_clean=path, **names)
    with pytest.raises(FineCLError, match="no label lies within 8 tokens"):
        run("denoise", bert_folder, corpus, tmp_path / "out", max_seq_length=8, long_documents="truncate")
    assert not trainers
