"""The README's block on raw text runs as it stands there."""

import re
from pathlib import Path

from tests.extraction.test_pipeline import build


README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_raw_text_to_triples(bert_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    build(bert_folder, "outputs/extractor")
    section = README[README.index("### Raw text to triples") :]
    exec(re.search(r"```python\n(.*?)```", section, re.DOTALL)[1], {})
    assert "Marie Curie" in capsys.readouterr().out
