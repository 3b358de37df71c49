"""A random relation model, and the names that it is to find."""

import pytest

from tests.extraction.test_pipeline import build


@pytest.fixture(scope="module")
def model(bert_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    build(bert_folder, folder)
    return str(folder)


@pytest.fixture
def names(tmp_path):
    lines = ["Marie Curie\tPER", "Alan Turing\tPER", "Warsaw\tLOC", "London\tLOC", "Manchester\tLOC"]
    (tmp_path / "names.tsv").write_text("\n".join(lines))
    return ["--recogniser", str(tmp_path / "names.tsv")]
