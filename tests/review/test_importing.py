"""Verdicts of people as one a label, and what is written of them."""

import json

import pytest

from finecl_hf.data.readers import read_documents, write_documents
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.verdicts import NO_LABEL
from finecl_hf.review.importing import import_files, review_of
from finecl_hf.review.votes import Vote


def vote(place, verdict, relation="", judge="", **others):
    return Vote(f"Ada#{place}", verdict, relation, judge, where="line 2", **others)


def judged(review):
    return [(row.instance_id, row.verdict, row.right_relation) for row in review.verdicts.rows]


def test_relations_by_id_and_by_name(ada):
    names = {"P36": "Capital Of", "capital of": "capital of"}
    for given, right in [("LOCATED IN", "located in"), ("P36", "P36"), ("P36: Capital Of", "P36"),
                         ("capital of", "capital of"), ("located in: an older name", "located in")]:  # fmt: skip
        review = review_of([vote("0#1#born in", "other", given)], [ada], names)
        assert judged(review) == [("Ada#0#1#born in", "other", right)]
    with pytest.raises(FineCLError, match='"CAPITAL OF"'):  # of two relations, neither is meant for certain
        review_of([vote("0#1#born in", "other", "CAPITAL OF")], [ada], names)
    assert judged(review_of([vote("0#1#born in", "other", "NA")], [ada], {})) == [("Ada#0#1#born in", "wrong", "")]


def test_what_people_say_together(ada):
    said = [("wrong", "", "a"), ("other", "located in", "b"), ("other", "located in", "c"), ("right", "", "d")]
    votes = [vote("0#1#born in", *words) for words in said]
    review = review_of([*votes, vote("1#2#capital of", "right", "", "a")], [ada], {})
    assert judged(review) == [("Ada#0#1#born in", "other", "located in"), ("Ada#1#2#capital of", "right", "")]
    assert (review.votes, review.judges, review.labels, review.nameless) == (5, 4, 3, 0)
    assert review.verdicts.rows[0].judges == 4


def test_strata_are_counted(ada):
    drawn = {"stratum": "random", "stratum_size": 2}
    votes = [vote("0#1#born in", "wrong", stratum="worst", stratum_size=1), vote("1#2#capital of", "right", **drawn),
             vote("0#3#born in", "right", stratum=NO_LABEL, stratum_size=7)]  # fmt: skip
    review = review_of(votes, [ada], {})
    assert review.estimate.labels == 3 and review.strata["random"].size == 2 and NO_LABEL not in review.strata
    assert review.counts(missing=True) == {"right": 1} and review.counts(missing=False).total() == 2
    assert "2 labels judged: 1 right, 1 wrong, 0 other, 0 unsure (2 votes)" in str(review)
    assert "1 fact that seemed to be missing judged: 1 right, 0 wrong, 0 other, 0 unsure (1 vote)" in str(review)


def test_verdicts_that_have_lost_their_stratum(ada):
    told = "column sample (in Argilla, the metadata), which says what a label was drawn for, is missing"
    assert told in review_of([vote("0#1#born in", "right")], [ada], {}).why_no_estimate
    of_a_report = vote("0#1#born in", "right", key=ada.fact_key(ada.relations[0]))  # which draws none
    assert "drawn at random" in review_of([of_a_report], [ada], {}).why_no_estimate


@pytest.mark.parametrize(
    "votes, told",
    [
        ([vote("0#1#died in", "right")], "1 of 1 verdicts are about labels that the corpus has not"),
        ([vote("0#3#born in", "right")], "with the tasks' own columns"),  # a missing fact that has lost its stratum
        ([vote("0#1#born in", "right", "located in")], "contradicts itself"),
        ([vote("0#1#born in", "right"), vote("0#1#born in", "wrong")], "contradicts an earlier one"),
        (
            [vote("0#1#born in", "other", "P99: x")],
            "1 verdict names .* pass the --rel_info that the export was made with",
        ),
    ],
)
def test_verdicts_that_do_not_fit(ada, votes, told):
    with pytest.raises(FineCLError, match=told):
        review_of(votes, [ada], {})


def test_unknown_ones_are_passed_over_where_asked(ada):
    votes = [vote("0#1#born in", "right"), vote("0#1#died in", "right")]
    assert len(review_of(votes, [ada], {}, skip_unknown=True).verdicts) == 1
    with pytest.raises(FineCLError, match="--skip_unknown"):
        review_of(votes, [ada], {})


@pytest.fixture
def imported(tmp_path, ada, curie):
    write_documents([ada, curie], tmp_path / "silver.json")
    (tmp_path / "v.csv").write_text("instance_id,verdict\nAda#0#1#born in,wrong\n")
    LearningOrder.for_documents([ada]).write(tmp_path / "order.parquet")
    LearningOrder.for_documents([curie]).write(tmp_path / "other.parquet")

    def made(**options):
        paths = {name: str(tmp_path / value) for name, value in options.items()}
        return import_files(tmp_path / "v.csv", tmp_path / "silver.json", tmp_path / "out.json", **paths)

    return made


def test_all_that_is_written(imported, tmp_path):
    review, counts = imported(
        verdicts="v.parquet", order="order.parquet", order_output="new.parquet", report="new/r.json"
    )
    assert (counts.labels, counts.removed, counts.added) == (5, 1, 0) and len(review.verdicts) == 1
    assert [len(document.relations) for document in read_documents(tmp_path / "out.json")] == [2, 2]
    assert LearningOrder.read(tmp_path / "new.parquet").verdict.tolist() == [-1, 0, 0]
    assert json.loads((tmp_path / "new" / "r.json").read_text())["labels"] == {"wrong": 1}


@pytest.mark.parametrize(
    "options, told",
    [
        ({"order": "other.parquet", "order_output": "new.parquet"}, "knows none of the 1 labels that were judged"),
        ({"order": "v.csv", "order_output": "new.parquet"}, "v.csv"),
        ({"order": "order.parquet"}, "go together"),
        ({"verdicts": "v.json"}, "must end in .parquet"),
        ({"report": "out.json"}, "have one name"),
        ({"report": "."}, "may not be written"),
    ],
)
def test_nothing_is_written_where_something_is_wrong(imported, tmp_path, options, told):
    with pytest.raises(FineCLError, match=told):
        imported(**options)
    assert not (tmp_path / "out.json").exists() and not (tmp_path / "new.parquet").exists()
