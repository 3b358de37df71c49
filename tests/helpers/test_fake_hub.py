import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from tests.helpers.fake_hub import FakeHub, hub_environment


TOKEN = "a-token"

ROUND_TRIP = """
import sys
from pathlib import Path

import torch
from huggingface_hub import HfApi, ModelCard, snapshot_download
from transformers import AutoModel, BertConfig, BertModel

folder = Path(sys.argv[1])
config = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
model = BertModel(config)
model.save_pretrained(folder)
ModelCard("---\\nlibrary_name: transformers\\n---\\n# A card").save(folder / "README.md")

api = HfApi()
api.create_repo("user/tiny")
api.create_repo("user/tiny", exist_ok=True)
first = api.upload_folder(repo_id="user/tiny", folder_path=folder, commit_message="A model and its card")
again = api.upload_folder(repo_id="user/tiny", folder_path=folder)
assert first.oid == again.oid, "unchanged files were committed again"

copy = Path(snapshot_download("user/tiny"))
assert {file.name for file in copy.iterdir()} == {"README.md", "config.json", "model.safetensors"}
assert ModelCard.load("user/tiny").data.library_name == "transformers"

loaded = AutoModel.from_pretrained("user/tiny").state_dict()
assert loaded.keys() == model.state_dict().keys()
assert all(torch.equal(loaded[name], weight) for name, weight in model.state_dict().items())
"""

FAILURES = """
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

api = HfApi()
with pytest.raises(HfHubHTTPError, match="503"):
    api.whoami()
assert api.whoami()["name"] == "user"
with pytest.raises(HfHubHTTPError, match="Invalid user token"):
    HfApi(token="another").whoami()
with pytest.raises(RepositoryNotFoundError):
    api.model_info("user/missing")
"""


def run(program, hub, tmp_path):
    """Runs a program in a process that knows no Hub but `hub`."""
    command = [sys.executable, "-c", program, str(tmp_path / "model")]
    result = subprocess.run(command, env=hub_environment(hub, tmp_path), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def status(hub, path, token=TOKEN):
    """Status of a bare GET request."""
    request = urllib.request.Request(hub.url + path, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
def test_a_model_comes_back_as_it_was_uploaded(tmp_path):
    with FakeHub(token=TOKEN) as hub:
        run(ROUND_TRIP, hub, tmp_path)
    repo = hub.repos["models/user/tiny"]
    assert [commit.message for commit in repo.history] == ["initial commit", "A model and its card"]
    assert repo.files["README.md"].endswith(b"# A card")
    assert hub.unknown == []


def test_the_client_sees_failures_as_its_own_exceptions(tmp_path):
    with FakeHub(token=TOKEN) as hub:
        hub.fail_next(1, status=503, path="/api/whoami-v2")
        run(FAILURES, hub, tmp_path)
    assert hub.unknown == []


def test_the_token_is_asked_for_only_if_there_is_one():
    with FakeHub(token=TOKEN) as hub:
        assert status(hub, "/api/whoami-v2") == 200
        assert status(hub, "/api/whoami-v2", token="wrong") == 401
    with FakeHub() as hub:
        assert status(hub, "/api/whoami-v2", token="whatever") == 200


def test_failures_are_counted_and_may_be_aimed():
    with FakeHub() as hub:
        hub.fail_next(2, status=500, path="whoami")
        assert status(hub, "/api/models/user/none") == 404
        assert [status(hub, "/api/whoami-v2") for _ in range(3)] == [500, 500, 200]


def test_unknown_requests_are_noted():
    with FakeHub() as hub:
        assert status(hub, "/api/nonsense?x=1") == 404
    assert hub.unknown == [("GET", "/api/nonsense?x=1")] == hub.log


@pytest.mark.parametrize(("header", "expected"), [("bytes=2-", b"cdef"), ("bytes=1-3", b"bcd")])
def test_downloads_resume(header, expected):
    with FakeHub() as hub:
        request = urllib.request.Request(f"{hub.url}/api/repos/create", data=b'{"name": "r"}', method="POST")
        urllib.request.urlopen(request).close()
        hub.repos["models/user/r"].commit({"a.txt": b"abcdef"}, "a file")
        request = urllib.request.Request(f"{hub.url}/user/r/resolve/main/a.txt", headers={"Range": header})
        with urllib.request.urlopen(request) as response:
            assert (response.status, response.read()) == (206, expected)
