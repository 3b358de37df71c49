"""Trackers get every loss by its name, as numbers; codecarbon's figure reaches the card."""

import json
import sys
from types import ModuleType

import pytest
import yaml
from transformers import TrainerCallback

from tests.helpers.script_runs import run, when_built
from tests.training.test_emissions import CSV


LOSSES = {"loss", "loss_rd", "loss_ed", "loss_mlm"}


class Recorder(TrainerCallback):
    """What any tracker is handed."""

    def __init__(self):
        self.logs = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.logs.append(dict(logs))


@pytest.fixture(scope="module")
def tracked(bert_folder, corpus, tmp_path_factory):
    """The folder of a stage 2 that reports to a recorder, and to codecarbon as far as transformers needs of it."""
    folder, recorder = tmp_path_factory.mktemp("tracked"), Recorder()

    class EmissionsTracker:
        def __init__(self, output_dir):
            self.path = f"{output_dir}/emissions.csv"

        def start(self):
            pass

        def stop(self):
            with open(self.path, "w") as file:
                file.write(CSV.format(0.00125))

    codecarbon = ModuleType("codecarbon")
    codecarbon.EmissionsTracker = EmissionsTracker
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "codecarbon", codecarbon)
        patch.setattr("transformers.integrations.integration_utils.is_codecarbon_available", lambda: True)
        when_built(patch, lambda trainer: trainer.add_callback(recorder))
        run("pretrain", bert_folder, corpus, folder, max_steps=2, logging_steps=1, report_to="codecarbon")
    return folder, recorder.logs


def test_trackers_get_the_losses_by_name(tracked):
    _, logs = tracked
    steps = [entry for entry in logs if "loss" in entry]
    assert len(steps) == 2
    for entry in steps:
        assert LOSSES | {"mean_weight", "positives_per_anchor", "learning_rate", "grad_norm"} <= entry.keys()
        assert entry["loss"] == pytest.approx(sum(entry[name] for name in LOSSES - {"loss"}), rel=1e-5)
    assert all(type(value) in (int, float) for entry in logs for value in entry.values())


def test_emissions_are_on_the_card(tracked):
    folder, _ = tracked
    card = (folder / "README.md").read_text()
    assert "- **Emissions:** 1.25 g of CO2 equivalents" in card
    emissions = yaml.safe_load(card.split("---\n")[1])["co2_eq_emissions"]
    assert emissions == {"emissions": pytest.approx(1.25), "source": "codecarbon", "training_type": "pre-training"}
    assert json.loads((folder / "train_results.json").read_text())["co2_eq_grams"] == pytest.approx(1.25)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["denoise", "pretrain", "finetune"])
def test_tensorboard_gets_what_the_log_has(stage, bert_folder, corpus, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run(stage, bert_folder, corpus, tmp_path, max_steps=2, logging_steps=1, report_to="tensorboard")
    (folder,) = (tmp_path / "runs").iterdir()
    events = reader.EventAccumulator(str(folder))
    events.Reload()
    log = json.loads((tmp_path / "trainer_state.json").read_text())["log_history"]
    for name in {name for entry in log for name in entry if name in LOSSES}:
        shown = [(event.step, pytest.approx(event.value, rel=1e-5)) for event in events.Scalars(f"train/{name}")]
        assert shown == [(entry["step"], entry[name]) for entry in log if name in entry]
    assert (f"train/{'loss_rd' if stage == 'pretrain' else 'loss'}") in events.Tags()["scalars"]
