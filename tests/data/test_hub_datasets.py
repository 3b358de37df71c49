"""The right files of a dataset on the Hub are found, and what is missing is told in one sentence."""

import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from finecl_hf.data.hub_datasets import (
    CONVERTED,
    commit_of,
    file_or_download,
    hub_files,
    looks_like_dataset_id,
    split_of,
)
from finecl_hf.data.readers import read_documents, write_documents
from finecl_hf.errors import DocumentError
from tests.helpers.fake_hub import FakeHub, hub_environment


DATASET = "user/corpus"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A dict {revision: [files]} that stands for the only dataset; downloads give the path that was asked for."""
    revisions = {"main": []}

    def list_repo_files(self, repo_id, *, repo_type, revision):
        assert repo_type == "dataset"
        if repo_id != DATASET:
            raise without_response(RepositoryNotFoundError)
        if revision not in revisions:
            raise without_response(RevisionNotFoundError)
        return revisions[revision]

    def hf_hub_download(repo_id, filename, *, repo_type, revision):
        return tmp_path / revision / filename

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", list_repo_files)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    return revisions


def without_response(kind):
    return kind.__new__(kind)  # their constructors want an HTTP response


def test_the_newest_commit_is_known_or_none(monkeypatch):
    assert commit_of(DATASET) is None  # tests are offline
    info = huggingface_hub.hf_api.DatasetInfo(
        id=DATASET, sha="abc", private=False, disabled=False, downloads=0, likes=0, tags=[]
    )
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, dataset, timeout: info)
    assert commit_of(DATASET) == "abc"


def chosen(split):
    return [name.removeprefix(f"{DATASET}/") for name, _ in hub_files(DATASET, split)]


@pytest.mark.parametrize(
    "source, expected",
    [("thunlp/docred", True), ("a/b", True), ("data/train.json", False), ("./a/b", False), ("docred", False)],
)
def test_what_looks_like_a_dataset(source, expected):
    assert looks_like_dataset_id(source) == expected


@pytest.mark.parametrize(
    "file, split",
    [
        ("data/train-00000-of-00002.parquet", "train"),
        ("default/train_annotated/0000.parquet", "train_annotated"),
        ("default/partial-train/0003.parquet", "train"),
        ("train.json", "train"),
        ("dev_revised.json.gz", "dev_revised"),
    ],
)
def test_file_names_tell_the_split(file, split):
    assert split_of(file) == split


def test_parquet_comes_first_in_order(hub):
    hub["main"] = ["train.json", "data/train-00001-of-00002.parquet", "data/train-00000-of-00002.parquet", "README.md"]
    assert chosen("train") == ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]


def test_then_the_copy_that_the_hub_made(hub, tmp_path):
    hub.update({"main": ["docred.py", "train.json.gz"], CONVERTED: ["default/train/0000.parquet"]})
    assert hub_files(DATASET, "train") == [
        (f"{DATASET}/default/train/0000.parquet", tmp_path / CONVERTED / "default/train/0000.parquet")
    ]


def test_then_json_files_named_like_the_split(hub):
    hub["main"] = ["train_revised.json", "dev_revised.json", "rel_info.json"]
    assert chosen("train") == ["train_revised.json"]
    assert chosen("validation") == ["dev_revised.json"]


def test_the_only_split_needs_no_name(hub):
    hub["main"] = ["data/train-00000-of-00001.parquet"]
    assert chosen(None) == ["data/train-00000-of-00001.parquet"]


def test_missing_and_ambiguous_splits_list_what_there_is(hub):
    hub["main"] = ["train_annotated.json", "train_distant.json", "dev.json"]
    for split, words in [
        ("test", 'exactly one split named like "test"'),
        ("train", "exactly one split"),
        (None, "must be named"),
    ]:
        with pytest.raises(DocumentError) as caught:
            hub_files(DATASET, split)
        assert words in str(caught.value) and "it has: dev, train_annotated, train_distant." in str(caught.value)


def test_a_dataset_without_data_files_is_told(hub):
    hub["main"] = ["docred.py"]
    with pytest.raises(DocumentError, match="user/corpus, split: .* it has no parquet or JSON files."):
        hub_files(DATASET, "train")


def test_a_missing_dataset_is_told(hub):
    with pytest.raises(DocumentError, match="user/other: there is neither such a file nor such a dataset"):
        read_documents("user/other", split="train")


def test_no_network_is_told():
    with pytest.raises(DocumentError) as caught:  # the tests run offline
        read_documents("user/other", split="train")
    message = str(caught.value)
    assert message.startswith("user/other: there is no such file, and the Hub does not answer (OfflineModeIsEnabled")
    assert "\n" not in message


def test_a_file_of_a_dataset_by_its_name(hub, tmp_path, monkeypatch):
    """`user/name@revision`; what lies here is taken as it is, and so is what can be no id."""
    monkeypatch.chdir(tmp_path)
    assert file_or_download(DATASET, "a.parquet") == tmp_path / "main" / "a.parquet"
    assert file_or_download(f"{DATASET}@v1.0", "a.parquet") == tmp_path / "v1.0" / "a.parquet"
    assert file_or_download("outputs/order.parquet", "a.parquet") == Path("outputs/order.parquet")
    (tmp_path / DATASET).mkdir(parents=True)
    assert file_or_download(DATASET, "a.parquet") == Path(DATASET)


@pytest.mark.parametrize(
    "error, message",
    [
        (RevisionNotFoundError, 'user/corpus: the dataset has no branch, tag or commit "v2"'),
        (RemoteEntryNotFoundError, "user/corpus: the dataset has no a.parquet"),
        (RepositoryNotFoundError, "user/corpus: there is neither such a file nor such a dataset"),
        (GatedRepoError, "user/corpus: access to this dataset must be asked for"),
        (OSError, "user/corpus/a.parquet: there is no such file, and the Hub does not answer"),
    ],
)
def test_a_file_that_the_hub_does_not_give(error, message, monkeypatch):
    def refuse(*args, **kwargs):
        raise without_response(error)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(DocumentError, match=message):
        file_or_download(f"{DATASET}@v2", "a.parquet")


def test_documents_of_several_files_are_one_corpus(hub, tmp_path, ada, curie):
    hub["main"] = ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]
    for file, document in zip(hub["main"], (ada, curie), strict=True):
        write_documents([document], tmp_path / "main" / file)
    assert read_documents(DATASET, split="train") == [ada, curie]
    write_documents([ada], tmp_path / "main" / hub["main"][1])
    with pytest.raises(DocumentError, match=f"document 0 of {DATASET}/data/train-00000-of-00002.parquet has this one"):
        read_documents(DATASET, split="train")


SCRIPT = """
import json, os, sys
import huggingface_hub
from finecl_hf.data.readers import read_documents

api = huggingface_hub.HfApi()
if sys.argv[1] == "online":
    api.create_repo("user/corpus", repo_type="dataset")
    for name in sys.argv[2:]:
        api.upload_file(
            path_or_fileobj=name, path_in_repo=os.path.basename(name), repo_id="user/corpus", repo_type="dataset"
        )
print([document.title for document in read_documents("user/corpus", split="train")])
"""


def test_over_http_and_then_from_the_cache_without_a_network(tmp_path, ada):
    write_documents([ada], tmp_path / "train_revised.json")
    (tmp_path / "rel_info.json").write_text(json.dumps({"P1": "x"}))
    files = [str(tmp_path / "train_revised.json"), str(tmp_path / "rel_info.json")]
    with FakeHub() as fake:
        environment = hub_environment(fake, tmp_path)
        for arguments, offline in [(["online", *files], "0"), (["cached"], "1")]:
            command = [sys.executable, "-c", SCRIPT, *arguments]
            run = subprocess.run(
                command, env={**environment, "HF_HUB_OFFLINE": offline}, capture_output=True, text=True, timeout=120
            )
            assert run.stdout.strip() == "['Ada']", run.stderr


@pytest.mark.parametrize("name, told", [
    ("user/..", "no dataset of the Hub can be called so"),
    ("us--er/name", "no dataset of the Hub can be called so"),
    ("user/name.git@v1", "no dataset of the Hub can be called so"),
    ("user/name@", "no revision follows the @"),
])  # fmt: skip
def test_names_that_no_dataset_can_have(name, told):
    with pytest.raises(DocumentError, match=told):
        file_or_download(name, "a.parquet")
