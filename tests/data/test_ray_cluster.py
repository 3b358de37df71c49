"""Pieces over a cluster: in order, whatever dies on the way; what is wrong is a sentence."""

import os
import signal
import sys
import time

import pytest

from finecl_hf.data.ray_cluster import in_pieces, ray_cluster
from finecl_hf.errors import DocumentError, FineCLError


def numbers():
    yield from range(20)


def die_once(mark):
    """Kills the process that calls it, the first time."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_pieces_come_back_in_order_and_both_workers_have_some(two_workers):
    class Slow:
        def __init__(self, first):
            self.first = first

        def __call__(self, number):
            time.sleep(0.6 if number % 3 == 0 else 0.2)
            return self.first + number, os.getpid()

    found = list(in_pieces(numbers, Slow, (100,), num_workers=2))
    assert [number for number, _ in found] == [*range(100, 120)]
    assert len({process for _, process in found}) == 2


@pytest.mark.slow
def test_a_worker_and_a_reader_that_are_killed_lose_nothing(two_workers, tmp_path):
    marks = tmp_path / "worker", tmp_path / "reader"

    class Mortal:
        def __call__(self, number):
            if number == 7:
                die_once(marks[0])
            return number

    def read():
        for number in range(20):
            if number == 11:
                die_once(marks[1])
            yield number

    assert list(in_pieces(read, Mortal)) == [*range(20)]
    assert all(mark.exists() for mark in marks)


@pytest.mark.slow
def test_an_error_comes_behind_what_was_done_before_it(two_workers):
    class Picky:
        def __call__(self, number):
            if number == 3:
                raise DocumentError("too large.", "title", "in.json", 3)
            return number

    class Unmade:
        def __init__(self):
            raise FineCLError("there is no such model.")

    def cut_off():
        yield from range(2)
        raise DocumentError("the file is cut off.", source="in.json")

    found = []
    with pytest.raises(DocumentError, match=r"in\.json, document 3, title: too large"):
        found.extend(in_pieces(numbers, Picky))
    with pytest.raises(DocumentError, match=r"in\.json: the file is cut off"):
        for number in in_pieces(cut_off, Picky):
            found.append(number)
    assert found[-2:] == [0, 1]
    with pytest.raises(FineCLError, match="there is no such model"):
        list(in_pieces(numbers, Unmade))


def test_without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(FineCLError, match=r'--ray: Ray is not installed; run `pip install "finecl_hf\[ray\]"`'):
        with ray_cluster():
            pass
