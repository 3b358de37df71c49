"""Runs of the scripts in processes of their own, for tests of how they end."""

import os
import signal
import subprocess

from tests.helpers.script_runs import ROOT, launched


def start(script, words, processes=1):
    """Starts a script in one or more processes, as a shell would."""
    command = launched(script, processes)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(script, words, processes=1, status=0):
    """Runs a script to its end. Returns what it printed."""
    process = start(script, words, processes)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == status, output[-4000:]
    return output


def hit_at(moment, words, what, stage="denoise", step=7, processes=1, status=None):
    """Runs a stage that meets something at a moment, see `killed_run`. Returns what it printed."""
    process = start("tests/helpers/killed_run.py", [stage, what, moment, str(step), *words], processes)
    output, _ = process.communicate(timeout=300)
    if processes == 1 or status is not None:
        assert process.returncode == (-signal.SIGKILL if status is None else status), output[-4000:]
    else:
        assert process.returncode and "SIGKILL" in output, output[-4000:]
    return output
