"""Fixtures shared by all tests. Set before the first Hugging Face import: nothing here may reach a network."""

import gc
import json
import os
import tempfile
from pathlib import Path


os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="finecl_hf_home_")
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
import torch
from transformers import AutoTokenizer

from finecl_hf.data.documents import Document
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.synthetic.corpus import generate_corpus, write_corpus
from tests.helpers.script_runs import trainers_of_scripts
from tests.helpers.tiny_models import build_bert, build_roberta


torch.set_num_threads(1)


def pytest_collection_finish():
    """Every run collects garbage, which need not look through all tests and libraries each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory):
    return build_bert(tmp_path_factory.mktemp("tiny_bert"))


@pytest.fixture(scope="session")
def roberta_folder(tmp_path_factory):
    return build_roberta(tmp_path_factory.mktemp("tiny_roberta"))


@pytest.fixture(scope="session")
def bert_tokenizer(bert_folder):
    return AutoTokenizer.from_pretrained(bert_folder)


@pytest.fixture(scope="session")
def roberta_tokenizer(roberta_folder):
    return AutoTokenizer.from_pretrained(roberta_folder)


@pytest.fixture
def ada():
    """Two sentences, four entities (one with two mentions), three facts of which two join the same pair."""
    return Document.from_dict(
        {
            "title": "Ada",
            "sents": [
                "Ada Lovelace was born in London , the capital of England .".split(),
                "Lovelace worked with Charles Babbage .".split(),
            ],
            "vertexSet": [
                [
                    {"name": "Ada Lovelace", "sent_id": 0, "pos": [0, 2], "type": "PER"},
                    {"name": "Lovelace", "sent_id": 1, "pos": [0, 1], "type": "PER"},
                ],
                [{"name": "London", "sent_id": 0, "pos": [5, 6], "type": "LOC"}],
                [{"name": "England", "sent_id": 0, "pos": [10, 11], "type": "LOC"}],
                [{"name": "Charles Babbage", "sent_id": 1, "pos": [3, 5], "type": "PER"}],
            ],
            "labels": [
                {"h": 0, "t": 1, "r": "born in", "evidence": [0]},
                {"h": 1, "t": 2, "r": "located in", "evidence": [0]},
                {"h": 1, "t": 2, "r": "capital of", "evidence": [0]},
            ],
        }
    )


@pytest.fixture
def curie():
    """One sentence, three entities, two facts; shares the relation `born in` with `ada`."""
    return Document.from_dict(
        {
            "title": "Curie",
            "sents": ["Marie Curie , a physicist , was born in Warsaw and died in France .".split()],
            "vertexSet": [
                [{"name": "Marie Curie", "sent_id": 0, "pos": [0, 2], "type": "PER"}],
                [{"name": "Warsaw", "sent_id": 0, "pos": [9, 10], "type": "LOC"}],
                [{"name": "France", "sent_id": 0, "pos": [13, 14], "type": "LOC"}],
            ],
            "labels": [
                {"h": 0, "t": 1, "r": "born in", "evidence": [0]},
                {"h": 0, "t": 2, "r": "died in", "evidence": [0]},
            ],
        }
    )


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Folder of a small synthetic corpus: silver.json, gold_train.json, gold_validation.json, gold_test.json, ..."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(generate_corpus(num_documents=14, num_train=12, num_validation=5, num_test=5, seed=1), folder)
    return folder


@pytest.fixture
def order_file(corpus, tmp_path):
    """A learning order of the corpus in which two labels of three were learned."""
    ids = list(json.loads((corpus / "truth.json").read_text()))
    LearningOrder(ids, first_epoch=[i % 3 - 1 for i in range(len(ids))]).write(tmp_path / "order.parquet")
    return tmp_path / "order.parquet"


@pytest.fixture
def trainers():
    """Collects the trainers that scripts build."""
    with trainers_of_scripts() as built:
        yield built


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def two_workers():
    """A Ray cluster of two cores on this machine, for tests that are `slow`: it takes seconds to start."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100_000_000, logging_level="error")
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def real_data():
    """The folder of the real corpora."""
    if "FINECL_REAL_DATA" not in os.environ:
        pytest.skip("FINECL_REAL_DATA does not name the folder of the real corpora")
    return Path(os.environ["FINECL_REAL_DATA"])
