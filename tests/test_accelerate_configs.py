"""The configurations in examples/accelerate are what accelerate takes, and the one for CPUs starts two processes."""

import os
import subprocess
import sys

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from accelerate.utils import DistributedType

from tests.helpers.script_runs import ROOT, arguments


FOLDER = ROOT / "examples" / "accelerate"
FILES = sorted(path.name for path in FOLDER.glob("*.yaml"))


def test_there_is_one_for_each_case():
    cases = ["one_gpu", "several_gpus", "several_gpus_fsdp", "two_cpu_processes", "two_machines"]
    assert FILES == [f"{case}.yaml" for case in cases]


@pytest.mark.parametrize("name", FILES)
def test_accelerate_reads_it(name):
    """Its loader raises at unknown keys; options of FSDP are those of its command line."""
    config = load_config_from_file(str(FOLDER / name))
    options = {action.dest for action in launch_command_parser()._actions}
    assert set(config.fsdp_config) <= options
    assert (config.distributed_type == DistributedType.FSDP) == bool(config.fsdp_config)
    assert name in (FOLDER / name).read_text(), "the command on top names the file"


def test_an_unknown_key_is_seen(tmp_path):
    (tmp_path / "wrong.yaml").write_text((FOLDER / "one_gpu.yaml").read_text() + "num_gpus: 2\n")
    with pytest.raises(ValueError, match="num_gpus"):
        load_config_from_file(str(tmp_path / "wrong.yaml"))


@pytest.mark.slow
def test_the_one_for_cpus_starts_two_processes(bert_folder, corpus, tmp_path):
    words = arguments("pretrain", bert_folder, corpus, tmp_path, max_steps=1)
    result = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", "--config_file", FOLDER / "two_cpu_processes.yaml",
         "--main_process_port", "0", ROOT / "run_pretrain.py", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-4000:]
    assert "--num_processes 2" in (tmp_path / "README.md").read_text().replace("\\\n", " ")
