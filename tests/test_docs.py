"""Every block of code in the README and the docs runs as it stands there: on generated documents, with a tiny encoder
in place of the one that is named, and in few steps. Commands of `make` and of benchmarks are looked at, not run."""

import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from finecl_hf import LearningOrder, read_documents, write_documents
from tests.extraction.test_pipeline import build
from tests.helpers.fake_hub import FakeHub, hub_environment


ROOT = Path(__file__).parents[1]
OTHERS = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*/*.md"), ROOT / "SKILL.md"]
PAGES = [ROOT / "README.md", *sorted(OTHERS)]
ENCODERS = ("sentence-transformers/all-MiniLM-L6-v2", "bert-base-uncased", "all-MiniLM-L6-v2", "ENCODER")
FEW_STEPS = {
    "run_denoise.py": "--max_steps 30 --learning_rate 1e-3 --logging_steps 10",
    "run_pretrain.py": "--max_steps 2 --per_device_train_batch_size 4 --gradient_accumulation_steps 1",
    "run_finetune.py": "--max_steps 4",
}
SKIPPED = {
    "make": "it is run by itself",
    "pip": "it changes the environment",
    "python benchmarks/": "tests/benchmarks looks at its flags",
    "DATA=": "a benchmark",
    "accelerate": "tests/test_accelerate_configs.py runs it",
    "hf auth": "it asks for a token",
}
ELSEWHERE = ('read_documents("user/dataset"',)  # tests/data/test_hub_datasets.py


@dataclass(frozen=True)
class Block:
    section: str
    language: str
    code: str


def blocks_of(page: Path) -> list[Block]:
    found, section, language, lines = [], "", None, []
    for line in page.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.startswith("```"):
            if language in ("bash", "python"):
                found.append(Block(section, language, "".join(lines)))
            language, lines = (line[3:].strip(), []) if language is None else (None, [])
        elif language is not None:
            lines.append(line)
        elif line.startswith("#"):
            section = line.lstrip("#").strip()
    return found


def commands_of(code: str) -> list[str]:
    lines = code.replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip() and not line.startswith("#")]


def is_skipped(command: str) -> bool:
    command = re.sub(r"^(\w+=\S+ )+(?=python)", "", command)
    on_ray = " --ray" in command  # tests/extraction has a Ray of its own
    on_hub = command.startswith("finecl-hf push") or " organisation/" in command  # and tests/training a Hub
    return on_ray or on_hub or command.startswith(tuple(SKIPPED)) or command.endswith("...")


def with_tiny_encoder(code: str, encoder: Path) -> str:
    for name in ENCODERS:
        code = re.sub(rf"(?<![\w/-]){re.escape(name)}(?![\w-])", str(encoder), code)
    return code.replace("max_length=512", "max_length=128")  # as many tokens as it reads


@pytest.fixture
def desk(bert_folder, corpus, tmp_path, monkeypatch):
    """A folder with all that the pages name, in which their commands run; returns what runs a block."""
    copies = {
        "silver": ["silver.json", "unlabelled.json", "my_documents.json"],
        "gold_train": ["train.json", "examples.json", "incomplete.json"],
        "gold_validation": ["dev.json", "other.json"],
        "gold_test": ["test.json", "documents.json"],
    }
    for name, targets in copies.items():
        for target in targets:
            shutil.copy(corpus / f"{name}.json", tmp_path / target)
    silver = read_documents(corpus / "silver.json")
    for shard in range(2):
        write_documents(silver[shard::2], tmp_path / f"silver-{shard}.jsonl.gz")
    shutil.copy(corpus / "rel_info.json", tmp_path)
    shutil.copy(ROOT / "examples" / "new_task" / "sentences.csv", tmp_path)
    lines = sorted(f"{document.longest_name(fact.head)}\t{fact.relation}\t{document.longest_name(fact.tail)}"
                   for document in silver for fact in document.relations)  # fmt: skip
    (tmp_path / "triples.tsv").write_text("\n".join(lines) + "\n")
    with gzip.open(tmp_path / "triples.tsv.gz", "wt") as file:
        file.write("\n".join(lines) + "\n")
    wikidata = "<http://www.wikidata.org/{}> <http://{}> {} .\n".format
    label = "www.w3.org/2000/01/rdf-schema#label"
    known, fact = next((document, fact) for document in silver for fact in document.relations)
    with gzip.open(tmp_path / "latest-truthy.nt.gz", "wt") as file:
        relation = f"www.wikidata.org/prop/direct/{fact.relation}"
        file.write(wikidata("entity/Q1", relation, "<http://www.wikidata.org/entity/Q2>"))
        file.write(wikidata("entity/Q1", label, f'"{known.longest_name(fact.head)}"@en'))
        file.write(wikidata("entity/Q2", label, f'"{known.longest_name(fact.tail)}"@en'))
    names = [document.longest_name(0) for document in silver]
    (tmp_path / "names.tsv").write_text("".join(f"{name}\tPER\n" for name in dict.fromkeys(names)))
    (tmp_path / "texts.txt").write_text(f"{names[0]} knows {names[1]}.\n")
    sentence = '{}\t"The <e1>ship</e1> left the <e2>{}</e2>."\n{}\nComment:\n\n'.format
    for name in ("TRAIN_FILE.TXT", "TEST_FILE_FULL.TXT"):
        parts = (sentence(i, word, relation) for i, (word, relation) in enumerate(
            [("harbour", "Entity-Origin(e1,e2)"), ("fog", "Other")] * 10))  # fmt: skip
        (tmp_path / name).write_text("".join(parts))
    write_as_the_original(silver, tmp_path)
    for script in FEW_STEPS:
        (tmp_path / script).symlink_to(ROOT / script)
    return Desk(tmp_path, bert_folder, monkeypatch)


def write_as_the_original(documents: list, folder: Path) -> dict[str, int]:
    """Two shards in the layout of the paper's preprocessed corpus, and its order. Returns epochs by our ids."""
    numbers = {relation: i for i, relation in enumerate(sorted({f.relation for d in documents for f in d.relations}))}
    shards, epochs, ours, uid = ([], []), {}, {}, 0
    for place, document in enumerate(documents):
        raw, before = document.to_dict(), [0]
        for sentence in raw["sents"]:
            before.append(before[-1] + len(sentence))
        for mention in (mention for entity in raw["vertexSet"] for mention in entity):
            mention["pos"] = [bound + before[mention["sent_id"]] for bound in mention["pos"]]
        title = f"erica-{place % 2}-{len(shards[place % 2])}"
        for label in raw["labels"]:
            if uid % 3:  # others were never learned
                epochs[str(uid)] = ours[f"{title}#{label['h']}#{label['t']}#{label['r']}"] = uid % 5
            label |= {"r": numbers[label["r"]], "uid": uid, "in_annotated_train": False}
            uid += 1
        shards[place % 2].append({key: raw[key] for key in ("vertexSet", "labels", "sents")} | {"Ls": before})
    for name, value in [("relation2idx", numbers), ("order_dict_augmented", epochs),
                        *((f"train_distant_{i}", shard) for i, shard in enumerate(shards))]:  # fmt: skip
        (folder / f"{name}.json").write_text(json.dumps(value))
    return ours


class Desk:
    def __init__(self, folder: Path, encoder: Path, monkeypatch, steps: dict[str, str] = FEW_STEPS):
        self.folder, self.encoder, self.monkeypatch = folder, encoder, monkeypatch
        self.names: dict[str, dict] = {}
        self.environment = os.environ  # a page about the Hub has one of its own
        self.programs = folder / "programs"
        self.programs.mkdir()
        few = "".join(f"  {name}) set -- \"$@\" {flags} --use_cpu true --disable_tqdm true ;;\n"
                      for name, flags in steps.items())  # fmt: skip
        self._program("python", f'case "$1" in\n{few}esac\nexec {shlex.quote(sys.executable)} "$@"')
        # A doctor who finds fault with the little corpus does what is asked.
        command = f'{shlex.quote(sys.executable)} -m finecl_hf.cli "$@"'
        self._program("finecl-hf", f'{command}; status=$?; [ "$1" = doctor ] && [ $status = 1 ] || exit $status')

    def _program(self, name: str, code: str) -> None:
        (self.programs / name).write_text(f"#!/bin/bash\n{code}\n")
        (self.programs / name).chmod(0o755)

    def run(self, block: Block) -> None:
        folder = self.folder
        if block.section == "In a notebook":  # it says: try it in another folder
            folder = self.folder / "notebook"
            folder.mkdir(exist_ok=True)
        code = with_tiny_encoder(block.code, self.encoder)
        code = "".join(line for line in code.splitlines(keepends=True) if not any(part in line for part in ELSEWHERE))
        if (
            block.language == "python" and self.environment is not os.environ
        ):  # as the Hub's client reads it at its start
            self._in_a_process([sys.executable, "-c", code], block, folder)
            return
        if block.language == "python":
            self.monkeypatch.chdir(folder)
            names = self.names.setdefault(block.section, {})
            if "nlp" in code:
                names["nlp"] = pytest.importorskip("spacy").blank("en")
            exec(compile(code, block.section, "exec"), names)
            return
        commands = [command for command in commands_of(code) if not is_skipped(command)]
        script = code if len(commands) == len(commands_of(code)) else "\n".join(commands)
        self._in_a_process(["bash", "-euo", "pipefail", "-c", script], block, folder)

    def _in_a_process(self, command: list[str], block: Block, folder: Path) -> None:
        paths = {"PATH": f"{self.programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=folder, env={**self.environment, **paths}, text=True, capture_output=True)
        assert done.returncode == 0, f"{block.section}:\n{block.code}\n{done.stderr[-3000:]}"


def test_blocks_are_found():
    moved = ("docs/python.md", "docs/extraction.md", "docs/denoising.md")  # the README's longer sections
    blocks = [block for page in ("README.md", *moved) for block in blocks_of(ROOT / page)]
    assert len(blocks) >= 20 and {block.language for block in blocks} == {"bash", "python"}
    assert "Is my run sane?" in {block.section for block in blocks}
    assert with_tiny_encoder("--model ENCODER x/bert-base-uncased MY_ENCODER", Path("t")) == (
        "--model t x/bert-base-uncased MY_ENCODER"
    )


@pytest.mark.slow
def test_readme(desk):
    for block in blocks_of(ROOT / "README.md"):
        desk.run(block)


# What a page takes for granted, as blocks of others.
BEFORE = {"denoising_report.md": ["denoising.md"], "review.md": ["denoising.md"]}


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES[1:] if blocks_of(page)], ids=lambda page: page.name)
def test_pages(desk, page, request):
    for name in BEFORE.get(page.name, ()):
        desk.run(blocks_of(ROOT / "docs" / name)[0])
    if page.name in ("export.md", "extraction.md"):
        if page.name == "export.md":
            build(desk.encoder, desk.folder / "outputs" / "extractor")
        shutil.copytree(desk.encoder, desk.folder / "outputs" / "encoder")
    if page.name == "publish.md":
        hub = request.getfixturevalue("hub")
        desk.environment = hub_environment(hub, desk.folder)
    if page.name == "export.md":
        pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    for block in blocks_of(page):
        if page.name == "review.md" and block.language == "bash":  # between the first two commands, people judge
            export, rest = block.code.split("\n", 1)
            desk.run(replace(block, code=export))
            tasks = json.loads((desk.folder / "tasks.json").read_text())
            (desk.folder / "export.json").write_text(json.dumps(judged(tasks)))
            block = replace(block, code=rest)
        desk.run(block)
    if page.name == "publish.md":
        assert hub.repos["models/user/extractor"].files.keys() >= {
            "README.md",
            "model.safetensors",
            "predictions.json",
        }


@pytest.fixture
def hub():
    with FakeHub() as hub:
        yield hub
        assert hub.unknown == []


def test_files_of_the_original_give_the_same_documents_and_order(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    silver = read_documents(corpus / "silver.json")
    epochs = write_as_the_original(silver, tmp_path)
    page = ROOT / "docs" / "tutorials" / "from_the_original.md"
    exec(blocks_of(page)[0].code, {})
    found = read_documents("erica.jsonl")
    assert [replace(d, title="") for d in found] == [replace(d, title="") for d in silver[::2] + silver[1::2]]
    order = LearningOrder.read("order.json")
    assert dict(zip(order.instance_id.to_pylist(), order.first_epoch.tolist(), strict=True)) == epochs
    known = {document.instance_id(fact) for document in found for fact in document.relations}
    assert len(epochs) > 50 and epochs.keys() < known


def judged(tasks: list[dict]) -> list[dict]:
    """Tasks of Label Studio with their verdicts: the first label is wrong."""
    choice = {"from_name": "verdict", "to_name": "text", "type": "choices"}
    verdicts = ["wrong", *["right"] * (len(tasks) - 1)]
    return [{**task, "annotations": [{"result": [{**choice, "value": {"choices": [verdict]}}]}]}
            for task, verdict in zip(tasks, verdicts, strict=True)]  # fmt: skip


def benchmark_commands() -> list[list[str]]:
    found = [command for page in PAGES for block in blocks_of(page) if block.language == "bash"
             for command in commands_of(block.code) if command.startswith("python benchmarks/")]  # fmt: skip
    return [shlex.split(command.split(" #")[0])[1:] for command in found]


def test_benchmarks_that_are_named_exist():
    named = {words[0] for words in benchmark_commands()}
    assert named and all((ROOT / name).is_file() for name in named)


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted({words[0] for words in benchmark_commands()}))
def test_flags_of_benchmarks_exist(script):
    """Its own, or those of the script that gets what it does not know."""
    text = (ROOT / script).read_text()
    helps = [script, *(name for name in FEW_STEPS if name.removesuffix(".py") in text)]
    helps += ["run_finetune.py"] if "finetune(" in text else []
    known = set()
    for name in helps:
        flag = "--help_all" if name in FEW_STEPS else "--help"
        done = subprocess.run([sys.executable, name, flag], cwd=ROOT, capture_output=True, text=True, check=True)
        known |= set(re.findall(r"--[a-z]\w*", done.stdout))
    for words in benchmark_commands():
        if words[0] == script:
            flags = {word.split("=")[0] for word in words if word.startswith("--")}
            assert flags <= known, f"{' '.join(words)}: {flags - known}"
