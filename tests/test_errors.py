import pickle
from pathlib import Path

import pytest

from finecl_hf.encoding.encoders import loading_from
from finecl_hf.errors import DocumentError, FineCLError


def test_a_document_error_tells_what_and_where():
    error = DocumentError("the span is empty.", "vertexSet[2][0].pos", "train.json", 7, "Ada")
    assert str(error) == 'train.json, document 7 ("Ada"), vertexSet[2][0].pos: the span is empty.'
    assert isinstance(error, FineCLError) and isinstance(error, ValueError)


@pytest.mark.parametrize(
    "place, expected",
    [
        ({}, "wrong."),
        ({"field": "sents"}, "sents: wrong."),
        ({"source": "a.json"}, "a.json: wrong."),
        ({"index": 0}, "document 0: wrong."),
        ({"title": "no index"}, "wrong."),
        ({"index": 1, "title": ""}, "document 1: wrong."),
    ],
)
def test_unknown_places_are_left_out(place, expected):
    assert str(DocumentError("wrong.", **place)) == expected


def test_a_page_for_a_title_stays_one_line():
    text = str(DocumentError("wrong.", index=3, title="many\nlines " * 100))
    assert "\n" not in text and len(text) < 140 and '...")' in text


@pytest.mark.parametrize("error", [DocumentError("m", "f", "s", 2, "t"), DocumentError("m"), FineCLError("plain")])
def test_errors_survive_the_way_home_from_a_worker(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and str(copy) == str(error) and vars(copy) == vars(error)


def test_fields_rebuild_the_error():
    error = DocumentError("m", "f", "s", 2, "t")
    assert vars(DocumentError(*error.fields())) == vars(error)


@pytest.mark.parametrize(
    "error", [OSError("gone\nmore"), ValueError("gone"), RuntimeError("gone"), FineCLError("gone")]
)
def test_what_goes_wrong_in_loading_is_one_sentence(error):
    with pytest.raises(FineCLError) as told, loading_from("model"):
        raise error
    assert str(told.value) == ("gone" if isinstance(error, FineCLError) else "model: cannot be loaded. gone")


def test_a_bug_in_loading_keeps_its_traceback():
    with pytest.raises(KeyError), loading_from("model"):
        raise KeyError


@pytest.mark.parametrize("name", ["/nowhere", "./nowhere", "../a/b", "~/nowhere", "a/b/c", Path("/nowhere/at/all")])
def test_a_folder_that_is_not_there(name):
    with pytest.raises(FineCLError, match=f"^--model {name}: no such folder, and no such model on the Hub"):
        with loading_from(name, "--model"):
            pytest.fail("was tried")


def test_a_model_that_the_hub_does_not_have():
    with pytest.raises(FineCLError, match="^user/none: no such folder, and no such model on the Hub"):
        with loading_from("user/none"):
            raise OSError("user/none is not a local folder and is not a valid model identifier listed on ...")
    with pytest.raises(FineCLError, match="^user/none: no such folder, and it cannot be loaded from the Hub. We"):
        with loading_from("user/none"):
            raise OSError("We couldn't connect to the Hub.")
