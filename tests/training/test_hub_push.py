"""One upload at a time, and nothing staged stays behind."""

from concurrent.futures import Future

import pytest

from finecl_hf.training.hub_push import HubPush


class Destination:
    """Notes what it is given; its uploads end when a test says so."""

    def __init__(self):
        self.uploads = []

    def upload(self, staged, message):
        self.uploads.append((staged, sorted(path.name for path in staged.iterdir()), message, Future()))
        return self.uploads[-1][-1]


def stage(*names):
    def fill(folder):
        for name in names:
            (folder / name).write_text("text")

    return fill


def test_an_upload_holds_what_was_staged_and_leaves_nothing(tmp_path):
    hub, destination = HubPush(), Destination()
    assert not hub.is_busy
    future = hub.push(stage("b", "a"), destination, "step 3")
    ((staged, files, message, running),) = destination.uploads
    assert (files, message) == (["a", "b"], "step 3") and future is running
    assert hub.is_busy and staged.is_dir()
    running.set_result("done")
    assert not hub.is_busy and not staged.exists()


@pytest.mark.parametrize("fails", [False, True])
def test_the_next_upload_makes_up_for_one_that_failed(fails, caplog):
    hub, destination = HubPush(), Destination()
    first = hub.push(stage("a"), destination, "first")
    first.set_exception(ConnectionError("no route\nto the Hub")) if fails else first.set_result(None)
    hub.push(stage("a", "b"), destination, "second").set_result(None)
    assert [files for _, files, _, _ in destination.uploads] == [["a"], ["a", "b"]]
    assert ("ConnectionError: no route to the Hub" in caplog.text) == fails
    assert not any(staged.exists() for staged, *_ in destination.uploads)


def test_what_cannot_be_staged_is_not_uploaded():
    hub, destination, seen = HubPush(), Destination(), []

    def fail(folder):
        seen.append(folder)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        hub.push(fail, destination, "never")
    assert not destination.uploads and not hub.is_busy and not seen[0].exists()
