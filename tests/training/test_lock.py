"""One run, one folder."""

import json
import os
import subprocess
import sys

import psutil
import pytest

from finecl_hf.errors import FineCLError
from finecl_hf.training.lock import LOCK, lock_folder, unlock_folder
from tests.helpers.script_runs import run


HOLDER = """
import sys
from finecl_hf.training.lock import lock_folder

lock_folder(sys.argv[1])
print("held", flush=True)
input()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()


def test_a_second_run_is_refused_and_a_dead_one_s_lock_taken_over(holder, tmp_path):
    with pytest.raises(FineCLError, match=f"process {holder.pid} on"):
        lock_folder(str(tmp_path))
    holder.kill()
    holder.wait()
    lock_folder(str(tmp_path))
    lock_folder(str(tmp_path))  # one's own
    unlock_folder(str(tmp_path))
    assert not (tmp_path / LOCK).exists()


def test_only_the_owner_unlocks(holder, tmp_path):
    unlock_folder(str(tmp_path))
    assert json.loads((tmp_path / LOCK).read_text())["process"] == holder.pid


def test_a_process_s_number_may_belong_to_another_one_by_now(tmp_path):
    lock_folder(str(tmp_path))
    owner = json.loads((tmp_path / LOCK).read_text())
    assert owner["process"] == os.getpid() and owner["began"] == psutil.Process().create_time()
    (tmp_path / LOCK).write_text(json.dumps({**owner, "process": 1, "began": 5.0}))
    lock_folder(str(tmp_path))


def test_nobody_can_look_for_a_process_of_another_machine(tmp_path):
    (tmp_path / LOCK).write_text(json.dumps({"host": "elsewhere", "process": 1, "began": 5.0}))
    with pytest.raises(FineCLError, match=f"elsewhere.*remove .*{LOCK}"):
        lock_folder(str(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"host": 3}', '{"process": "x"}'])
def test_a_damaged_lock_holds_nobody_up(tmp_path, text):
    (tmp_path / LOCK).write_text(text)
    lock_folder(str(tmp_path))


def test_a_script_locks_its_folder(holder, tmp_path, bert_folder, corpus):
    with pytest.raises(FineCLError, match="another run writes there"):
        run("finetune", bert_folder, corpus, tmp_path, "--max_steps", "1")
    run("finetune", bert_folder, corpus, tmp_path / "other", "--max_steps", "1")
    assert not (tmp_path / "other" / LOCK).exists()
