"""`finecl-hf project --ray` writes what one process writes, and reports what it reports."""

import json
import os
import pickle
import random
import signal
import sys

import pyarrow as pa
import pytest

from finecl_hf.cli import main
from finecl_hf.data.held_out import HeldOutPairs
from finecl_hf.data.readers import write_documents
from finecl_hf.distant import ray_projection
from finecl_hf.distant.join import KnownFacts
from finecl_hf.distant.projection import ProjectionOptions, project_files
from finecl_hf.distant.ray_projection import RayProjection
from finecl_hf.errors import FineCLError
from tests.helpers.small_documents import small_document


NAMES = [f"Name {i}" for i in range(30)]


def corpus(seed, count=40):
    """Documents of up to six entities, some with an id, some of which are judged in a few pairs only."""
    rng = random.Random(seed)
    for number in range(count):
        size = rng.randrange(2, 7)
        names = [rng.sample(NAMES, rng.choice([1, 1, 2])) for _ in range(size)]
        ids = [rng.choice(["", f"Q{rng.randrange(30)}"]) for _ in names]
        pairs = None if number % 3 else [(0, 1), (1, 0)]
        yield small_document(f"document {number}", names, kb_ids=ids, labelled=False, pairs=pairs)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Documents with an invalid one among them, two tables, aliases of which one is ambiguous, a test file."""
    monkeypatch.setattr(ray_projection, "WINDOW", 15)
    rng = random.Random(1)
    lines = [json.dumps(document.to_dict()) for document in corpus(0)]
    lines.insert(20, json.dumps({"title": "broken"}))
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    rows = [(rng.randrange(30), rng.choice("rqs"), rng.randrange(30)) for _ in range(250)]
    (tmp_path / "names.tsv").write_text("".join(f"Name {h}\t{r}\tname  {t}\n" for h, r, t in rows))
    (tmp_path / "ids.tsv").write_text("".join(f"Q{h}\tP{r}\tQ{t}\n" for h, r, t in rows))
    aliases = "".join(f"Q{i}\tName {i}\n" for i in range(20))
    (tmp_path / "aliases.tsv").write_text(f"{aliases}Q21\tName 3\nQ22\tname 3\n")
    # Enough pairs that Ray keeps them in its store instead of sending them along
    held_out = small_document("test", [*NAMES[:8], *map(str, range(150))], labelled=False)
    write_documents([held_out], tmp_path / "test.json")
    return tmp_path


def here(read, worker, arguments, num_workers=None, with_gpu=True):
    """What `in_pieces` does, by one worker in this process; what passes is pickled, as it is there."""
    work = worker(*pickle.loads(pickle.dumps(arguments)))
    for piece in read():
        yield pickle.loads(pickle.dumps(work(pickle.loads(pickle.dumps(piece)))))


@pytest.mark.parametrize(
    "table, extension, more",
    [
        ("ids.tsv", "json.gz", {"aliases": "aliases.tsv"}),
        ("names.tsv", "parquet", {"exclude_files": ["test.json"], "drop_unlabelled": True, "relations": ["r", "q"]}),
        ("ids.tsv", "jsonl", {"aliases": "aliases.tsv", "ambiguous": "drop"}),
    ],
)
def test_in_parts_as_in_one(files, table, extension, more, monkeypatch):
    monkeypatch.chdir(files)
    monkeypatch.setattr(ray_projection, "in_pieces", here)
    found = []
    for name, spread in (("one", None), ("parts", RayProjection())):
        options = ProjectionOptions(skip_invalid=True, **more)
        report = project_files("in.jsonl", table, f"{name}.{extension}", options, spread)
        found.append(((files / f"{name}.{extension}").read_bytes(), report.to_dict(), report.to_text()))
    assert found[0] == found[1]
    report = found[0][1]
    assert report["labels"] > 20 and report["documents"] == 40
    # More than one part holds the pairs that the report lists
    assert report["knowledge_base"]["top_pairs"][0]["entity_pairs"] > 1


def run(files, output, *more):
    """Exit status of the command, its output and its report."""
    argv = ["project", "--documents", str(files / "in.jsonl"), "--knowledge_base", str(files / "names.tsv")]
    argv += ["--exclude_file", str(files / "test.json"), "--output", str(files / output)]
    status = main([*argv, "--report", str(files / "report.json"), *more])
    return status, (files / output).read_bytes(), (files / "report.json").read_text()


@pytest.mark.slow
def test_the_same_files(two_workers, files, capsys):
    expected, told = run(files, "one.json", "--skip_invalid"), capsys.readouterr().out
    assert run(files, "one.json", "--skip_invalid", "--ray", "--ray_workers", "2") == expected
    assert expected[0] == 0 and capsys.readouterr().out == told


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing(two_workers, files, monkeypatch):
    expected = run(files, "one.json", "--skip_invalid")
    mark, worker = files / "killed", ray_projection._Worker

    class Mortal(worker):
        def __call__(self, window):
            if window[0].title == "document 15" and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return worker.__call__(self, window)

    monkeypatch.setattr(ray_projection, "_Worker", Mortal)
    assert run(files, "many.json", "--skip_invalid", "--ray") == expected
    assert mark.exists()


@pytest.mark.slow
def test_mistakes_of_input_are_those_of_one_process(two_workers, files, capsys):
    argv = ["project", "--documents", str(files / "in.jsonl"), "--output", str(files / "out.json"), "--knowledge_base"]
    (files / "other.tsv").write_text("nobody\tr\tnothing\n")
    for more in ([str(files / "names.tsv")], [str(files / "other.tsv"), "--skip_invalid"]):
        said = []
        for ray in ([], ["--ray"]):
            assert main([*argv, *more, *ray]) == 2
            said.append(capsys.readouterr().err.splitlines())
        assert said[0] == said[1][-1:] and said[0][0].startswith("error: ")  # Ray's own servers may say something, too
    assert not (files / "out.json").exists()


def test_facts_that_a_worker_has_no_memory_for_are_a_sentence():
    keys = pa.table({"id": pa.array(range(100_000), pa.int32()), "key": [f"name {i}" for i in range(100_000)]})
    facts = pa.table({"head": keys["id"], "relation": keys["key"], "tail": keys["id"]})
    with pytest.raises(FineCLError, match="a worker of --ray: the join needs more memory .* raise --memory_gb"):
        ray_projection._Worker(
            KnownFacts("name", keys, facts), HeldOutPairs(), ProjectionOptions(memory_gb=0.002), encode=True
        )


@pytest.mark.parametrize(
    "more, words",
    [
        (["--ray_workers", "2"], "--ray_workers is about a Ray cluster; give --ray, too"),
        (["--ray", "--ray_workers", "0"], "--ray_workers 0 is out of range"),
        (["--ray"], "--ray: Ray is not installed"),
    ],
)
def test_mistakes_are_sentences(more, words, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    argv = ["project", "--documents", "in.json", "--knowledge_base", "kb.tsv", "--output", str(tmp_path / "out.json")]
    assert main([*argv, *more]) == 2
    assert words in capsys.readouterr().err
