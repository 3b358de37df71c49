"""The corrected corpus: in files, and as rows on disk."""

import json

import pytest

from finecl_hf.data.corpus import documents_of, load_corpus
from finecl_hf.data.readers import valid_records, write_documents
from finecl_hf.denoising.correcting import CorrectionCounts, corrected, corrected_corpus
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.verdicts import Verdicts
from tests.data.formats.test_sentences import opennre
from tests.learning_order.test_verdicts import verdict_of


def test_other_keys_stay(tmp_path, ada, curie):
    first = ada.to_dict()
    first["labels"][2]["in_train"] = True
    (tmp_path / "in.json").write_text(json.dumps([{**first, "note": 1}, curie.to_dict()]))
    verdicts, counts = (
        Verdicts([verdict_of(ada, 0, "wrong"), verdict_of(ada, 1, "other", "died in")]),
        CorrectionCounts(),
    )
    one, two = (record.raw for record in corrected(valid_records(tmp_path / "in.json"), verdicts, counts))
    assert one["note"] == 1 and one["labels"][1] == first["labels"][2] and two == curie.to_dict()
    assert one["labels"][0]["r"] == "died in" and one["labels"][0]["source"] == "review"
    assert (counts.labels, counts.removed, counts.relabelled) == (5, 1, 1)


def test_a_sentence_goes_with_its_only_label(tmp_path):
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps(opennre(id=name)) for name in "ab"))
    documents = [record.item for record in valid_records(tmp_path / "in.jsonl")]
    counts = CorrectionCounts()
    rest = list(
        corrected(valid_records(tmp_path / "in.jsonl"), Verdicts([verdict_of(documents[0], 0, "wrong")]), counts)
    )
    assert [record.item for record in rest] == documents[1:] and counts.left_out == 1


def test_rows_on_disk(tmp_path, ada, curie):
    write_documents([ada, curie], tmp_path / "in.json")
    corpus = load_corpus(str(tmp_path / "in.json"), cache_dir=str(tmp_path / "cache"))
    verdicts = Verdicts([verdict_of(ada, 0, "wrong"), verdict_of(ada, 1, "other", "died in")])
    new = corrected_corpus(corpus, verdicts)
    assert sorted(documents_of(new), key=lambda d: d.title) == [verdicts.correct(ada), curie]
    assert sorted(new["relations"], key=len) == [["born in", "died in"], ["died in", "capital of"]] or len(new) == 2
    with pytest.raises(FineCLError, match="none of the 1 verdicts"):
        corrected_corpus(
            corpus.select([list(corpus["title"]).index("Ada")]), Verdicts([verdict_of(curie, 0, "right")])
        )
