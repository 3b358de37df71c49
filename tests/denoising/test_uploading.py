"""What `finecl-hf push` uploads of a folder, without a server: a destination that keeps what it is given."""

import json
from concurrent.futures import Future
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from finecl_hf.cards.card_file import write_card
from finecl_hf.cards.model_card import FineCLCardData
from finecl_hf.cards.pushing import Destination, warn_of_local_base
from finecl_hf.denoising.uploading import push_folder
from finecl_hf.errors import FineCLError, UploadError
from finecl_hf.learning_order.table import LearningOrder


@dataclass(frozen=True)
class Kept(Destination):
    """Takes files into `taken`, or refuses as the Hub does."""

    taken: dict = None
    refuses: str = ""

    def opened(self):
        self._refuse("opened")
        return replace(self, repo_id=f"me/{self.repo_id}")

    def upload(self, folder, message):
        self._refuse("upload")
        self.taken.update({path.name: path.read_bytes() for path in folder.iterdir()}, type=self.repo_type)
        done = Future()
        done.set_result(SimpleNamespace(repo_url=f"https://hub/{self.repo_id}"))
        return done

    def _refuse(self, place):
        if self.refuses == place:
            raise ConnectionError("nobody answers")


@pytest.fixture
def run(tmp_path):
    """The folder of a stage 1 that has ended, with what is nobody else's business."""
    write_card(FineCLCardData("relation_model", "run", silver_labels=True, loss="bce"), tmp_path)
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": []}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "_name_or_path": "/home/me/secret/bert"}))
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "report.html").write_text("text of documents")
    (tmp_path / "notes.txt").write_text("mine")
    LearningOrder(["a#0#1#P1", "b#0#1#P1"], first_epoch=[0, -1]).write(tmp_path / "learning_order.parquet")
    return tmp_path


def test_stage_1_s_product_is_its_learning_order(run):
    kept = Kept("run", "", taken={})
    assert push_folder(run, kept) == "https://hub/me/run" and kept.taken["type"] == "dataset"
    assert "learning_order.parquet" in kept.taken and not {"model.safetensors", "report.html"} & kept.taken.keys()
    assert b"me/run" in kept.taken["README.md"]


def test_its_model_where_that_is_asked_for(run):
    before = (run / "README.md").read_bytes()
    kept = Kept("run", "model", taken={})
    push_folder(run, kept)
    assert kept.taken["type"] == "model" and kept.taken["model.safetensors"] == b"weights"
    assert b"/home/me" not in kept.taken["config.json"]
    assert not {"learning_order.parquet", "report.html", "notes.txt"} & kept.taken.keys()
    assert b"me/run" in kept.taken["README.md"] and (run / "README.md").read_bytes() == before
    push_folder(run, kept, quoting=True)
    assert kept.taken["report.html"] == b"text of documents"


@pytest.fixture
def adapter(tmp_path):
    """The folder of an adapter whose base model is a folder, too."""
    base = "/home/me/secret/base"
    write_card(FineCLCardData("lora_adapter", "run", repo="/home/me/run", base_model=base), tmp_path)
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": []}))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    return tmp_path


@pytest.mark.parametrize("added", ["", "A line of mine."])
def test_an_adapter_s_base_model_is_named_without_its_path(adapter, added, caplog):
    """Also in a card as versions before wrote it."""
    path = adapter / "README.md"
    before = path.read_text().replace('base_model = "base"', 'base_model = "/home/me/secret/base"') if added else ""
    path.write_text((before or path.read_text()) + added)
    kept = Kept("run", "", taken={})
    push_folder(adapter, kept)
    files = [data for data in kept.taken.values() if isinstance(data, bytes)]
    assert len(files) == 4 and not [data for data in files if b"/home/me" in data]
    assert b'from_pretrained("me/run", base_model=base_model)' in kept.taken["README.md"]
    assert kept.taken["README.md"].decode().endswith(added)
    (told,) = caplog.messages
    assert "nobody can load it elsewhere" in told and "hf upload user/base /home/me/secret/base" in told


def test_a_base_model_of_ours_is_pushed_by_our_command(adapter, tmp_path, caplog):
    """`hf upload` would take its checkpoints along."""
    base = tmp_path / "encoder"
    base.mkdir()
    (base / "card.json").write_text("{}")
    warn_of_local_base(FineCLCardData("lora_adapter", "adapter", base_model=str(base)))
    assert f"finecl-hf push {base} --hub_model_id user/encoder" in caplog.text


def test_a_changed_card_names_the_run_s_folder_in_no_way(run):
    """Neither in Python nor in a command, where it stands without quotes."""
    write_card(FineCLCardData("encoder", "run", repo="/home/me/secret/run"), run)
    (run / "README.md").write_text("I added `run_finetune.py --model_name_or_path /home/me/secret/run` to it.\n")
    kept = Kept("run", "model", taken={})
    push_folder(run, kept)
    assert kept.taken["README.md"] == b"I added `run_finetune.py --model_name_or_path me/run` to it.\n"


@pytest.mark.parametrize("facts", [True, False])
def test_an_export_is_a_model_like_any_other(run, facts):
    """Of what stage 1 trained, too, and of a model that came without a card."""
    for name in ("model.safetensors", "learning_order.parquet", *([] if facts else ["card.json"])):
        (run / name).unlink()
    (run / "config.json").write_text(json.dumps({"model_type": "finecl", "onnx": {"format": 1}}))
    (run / "model.onnx").write_bytes(b"graph")
    (run / "head.safetensors").write_bytes(b"head")
    kept = Kept("run", "", taken={})
    push_folder(run, kept)
    assert kept.taken.pop("type") == "model" and (b"me/run" in kept.taken["README.md"]) == facts
    assert kept.taken.keys() == {"config.json", "model.onnx", "head.safetensors", "README.md", "trainer_state.json"}
    (run / "model.onnx").write_bytes(b"graph pkg.torch.onnx.stack_trace /home/me/x.py")
    with pytest.raises(FineCLError, match="holds paths of the machine that made it; export the model again"):
        push_folder(run, kept)


@pytest.mark.parametrize("written", [b"# Mine\n", b"\xff\xfe of another encoding"])
def test_a_card_that_somebody_wrote_stays_as_it_is(run, written):
    (run / "README.md").write_bytes(written)
    kept = Kept("run", "model", taken={})
    push_folder(run, kept)
    assert kept.taken["README.md"] == written


@pytest.mark.parametrize("place", ["opened", "upload"])
def test_a_failed_upload_tells_the_command(run, place):
    with pytest.raises(UploadError, match=f"nobody answers.*finecl-hf push {run} .*--repo_type model"):
        push_folder(run, Kept("run", "model", taken={}, refuses=place))


@pytest.mark.parametrize(
    "lost, kind, told",
    [
        ("learning_order.parquet", "", "holds no learning_order.parquet"),
        ("model.safetensors", "model", "holds no weights"),
        ("card.json", "", "there is no card.json"),
        ("trainer_state.json", "", "there is no trainer_state.json"),
    ],
)
def test_folders_that_are_no_run(run, lost, kind, told):
    (run / lost).unlink()
    with pytest.raises(FineCLError, match=told):  # before anything is made on the Hub
        push_folder(run, Kept("run", kind, refuses="opened"))


def test_a_damaged_file_is_named(run):
    (run / "trainer_state.json").write_text('{"log_history": [], "best": "')
    with pytest.raises(FineCLError, match="trainer_state.json"):
        push_folder(run, Kept("run", "model", taken={}))
