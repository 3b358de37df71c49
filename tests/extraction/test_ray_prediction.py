"""`finecl-hf predict --ray` writes what one process writes."""

import json
import os
import signal

import pytest

from finecl_hf.cli import main
from finecl_hf.extraction import ray_prediction
from tests.extraction.test_pipeline import build
from tests.extraction.test_prediction_files import TEXTS, lines


RAY = ["--ray", "--batch_size", "1"]  # windows of 16 texts


@pytest.fixture
def texts(tmp_path):
    rows = [f"{text} {number}".encode() for number, text in enumerate(TEXTS * 20)]
    rows[21] = b"\xff"
    (tmp_path / "in.txt").write_bytes(b"\n".join(rows))
    return str(tmp_path / "in.txt")


def expect(path, expected):
    """The same lines; numbers may differ in the last digits, as in sums of other threads."""
    found = lines(path)
    for row, other in zip(found, expected, strict=True):
        for triple, same in zip(row.get("triples", []), other.get("triples", []), strict=True):
            assert triple.pop("score") == pytest.approx(same["score"], abs=1e-5)
            assert triple == {name: value for name, value in same.items() if name != "score"}
        assert row | {"triples": None} == other | {"triples": None}


@pytest.fixture
def expected(model, names, texts, tmp_path):
    assert main(["predict", model, texts, str(tmp_path / "one.jsonl"), "--batch_size", "1", *names]) == 1
    found = lines(tmp_path / "one.jsonl")
    assert len(found) == 60 and "error" in found[21] and any(row.get("triples") for row in found)
    return found


@pytest.mark.slow
def test_the_same_lines_and_on_from_where_it_stopped(
    two_workers,
    model,
    names,
    texts,
    expected,
    tmp_path,
    capsys,
):
    output = tmp_path / "many.jsonl"
    argv = ["predict", model, texts, str(output), *RAY, *names]
    assert main(argv) == 1 and "1 input could not be read" in capsys.readouterr().err
    expect(output, expected)
    whole = output.read_bytes()
    output.write_bytes(whole[: len(whole) // 2])
    assert main(argv) == 1 and "going on behind them" in capsys.readouterr().err
    expect(output, expected)
    assert main([*argv[:3], "-", *argv[4:], "--skip_invalid"]) == 0
    assert [json.loads(line)["index"] for line in capsys.readouterr().out.splitlines()] == [*range(21), *range(22, 60)]


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing(
    two_workers,
    model,
    names,
    texts,
    expected,
    tmp_path,
    monkeypatch,
):
    mark = tmp_path / "killed"
    worker = ray_prediction._Worker

    class Mortal(worker):
        def __call__(self, window):
            if window[0] == 32 and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return worker.__call__(self, window)

    monkeypatch.setattr(ray_prediction, "_Worker", Mortal)
    assert main(["predict", model, texts, str(tmp_path / "many.jsonl"), *RAY, *names]) == 1
    assert mark.exists()
    expect(tmp_path / "many.jsonl", expected)


@pytest.mark.slow
def test_what_lies_past_the_models_length_is_said_once(two_workers, bert_folder, tmp_path, caplog, ada):
    model = str(tmp_path / "model")
    build(bert_folder, tmp_path / "model", long_documents="truncate")
    long = ada.to_dict()
    long["sents"] = [["word"] * 300, *long["sents"]]
    for mention in (mention for entity in long["vertexSet"] for mention in entity):
        mention["sent_id"] += 1
    for label in long["labels"]:
        label["evidence"] = []
    rows = [json.dumps(long | {"title": f"Ada {number}"}) for number in range(20)]
    (tmp_path / "in.jsonl").write_text("\n".join(rows))
    said = []
    for more in ([], RAY):
        caplog.clear()
        output = str(tmp_path / f"out{len(more)}.jsonl")
        assert main(["predict", model, str(tmp_path / "in.jsonl"), output, *more]) == 0
        said.append([text for text in caplog.messages if "lie past" in text])
    assert said[0] == said[1] and len(said[0]) == 1 and "100 mentions in 20 documents" in said[0][0]


@pytest.mark.slow
def test_another_model_on_a_machine_is_a_sentence(two_workers, model, names, texts, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ray_prediction, "weights_digest", lambda model: "another")
    assert main(["predict", model, texts, "-", *RAY, *names]) == 2
    assert "is another model than here; put the same one on every machine" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more, words",
    [
        (["--ray_workers", "2"], "--ray_workers is about a Ray cluster; give --ray, too"),
        (["--ray", "--ray_workers", "0"], "--ray_workers 0 is out of range"),
    ],
)
def test_mistakes_are_sentences(more, words, tmp_path, capsys):
    (tmp_path / "in.txt").write_text("x")
    assert main(["predict", str(tmp_path), str(tmp_path / "in.txt"), "-", *more]) == 2
    assert words in capsys.readouterr().err
