"""How a benchmark ends where its input is wrong."""

import argparse

import pytest

from benchmarks.running import count, run_benchmark
from finecl_hf.errors import FineCLError


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize("error", [FineCLError("the table\nis empty"), FileNotFoundError(2, "No such file", "x.json")])
def test_a_mistake_is_one_line(error, capsys):
    with pytest.raises(SystemExit) as ended:
        run_benchmark(raising(error))
    told = capsys.readouterr().err
    assert ended.value.code == 2 and told.startswith("error: ") and told.count("\n") == 1


def test_a_fault_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_benchmark(raising(ZeroDivisionError()))


def test_counts():
    assert count("12") == 12
    for text in ("0", "-1", "1.5", "x", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="1 or more"):
            count(text)
