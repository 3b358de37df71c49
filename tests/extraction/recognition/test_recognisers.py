"""Every kind of recogniser gives the mentions of each text; what cannot be one is said."""

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForTokenClassification, pipeline

from finecl_hf.data.spans import Span
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.recognition.gazetteer import Gazetteer
from finecl_hf.extraction.recognition.recognisers import make_recogniser, recognise
from tests.helpers.tiny_models import SMALL


TEXT = "Marie Curie was born in Warsaw."


def read(recogniser, *texts):
    return [
        [(text[span.start : span.end], span.type) for span in spans]
        for text, spans in zip(texts, recogniser(list(texts)), strict=True)
    ]


@pytest.fixture(scope="module")
def tagger(bert_folder, tmp_path_factory):
    """A token classifier that finds "london" and "warsaw" alone: its layers let words through as they are."""
    tokenizer = AutoTokenizer.from_pretrained(bert_folder)
    config = BertConfig(
        **SMALL, vocab_size=len(tokenizer), max_position_embeddings=32, id2label={0: "O", 1: "B-LOC"},
        label2id={"O": 0, "B-LOC": 1},
    )  # fmt: skip
    torch.manual_seed(0)
    model = BertForTokenClassification(config)
    with torch.no_grad():
        for name, weight in model.bert.named_parameters():
            if "encoder" in name and "LayerNorm" not in name or "position" in name or "token_type" in name:
                weight.zero_()
        size = config.hidden_size
        own = torch.tensor([[1.0, -1, 1, -1], [1.0, 1, -1, -1]]).repeat(1, size // 4)
        words = model.bert.embeddings.word_embeddings.weight.normal_()
        words -= words.mean(dim=1, keepdim=True) + words @ own.T @ own / size  # all others at right angles to the two
        words[tokenizer.convert_tokens_to_ids(["london", "warsaw"])] = own
        model.classifier.weight.zero_()
        model.classifier.weight[1] = own.sum(dim=0)
        model.classifier.bias[:] = torch.tensor([size / 2, 0.0])
    folder = tmp_path_factory.mktemp("tagger")
    model.save_pretrained(folder)
    tokenizer.model_max_length = 32
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_token_classifier_by_its_folder(tagger):
    recogniser = make_recogniser(tagger, "cpu")
    assert recogniser.types == {"LOC"}
    assert read(recogniser, TEXT, "", "London!") == [[("Warsaw", "LOC")], [], [("London", "LOC")]]


def test_nothing_lies_past_a_token_classifier_s_length(tagger):
    long = "He worked with Charles . " * 40 + "She was in Warsaw. " + "the " * 100 + "London " + "the " * 50
    assert read(make_recogniser(tagger), long) == [[("Warsaw", "LOC"), ("London", "LOC")]]


def test_a_loaded_pipeline_that_gives_single_tokens(tagger):
    loaded = pipeline("token-classification", model=tagger)
    assert read(make_recogniser(loaded), TEXT, "") == [[("Warsaw", "LOC")], []]
    with pytest.raises(FineCLError, match="this pipeline is for fill-mask"):
        make_recogniser(pipeline("fill-mask", model=tagger))


def test_a_list_of_names(tmp_path):
    (tmp_path / "names.tsv").write_text("Warsaw\tLOC\n")
    for given in (tmp_path / "names.tsv", str(tmp_path / "names.tsv"), Gazetteer([("Warsaw", "LOC", "")])):
        assert read(make_recogniser(given), TEXT) == [[("Warsaw", "LOC")]]


@pytest.mark.slow  # spaCy takes its time to be imported
def test_spacy(tmp_path):
    spacy = pytest.importorskip("spacy")
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Marie Curie", "id": "Q1"}])
    nlp.to_disk(tmp_path / "ruler")
    for given in (nlp, tmp_path / "ruler"):
        recogniser = make_recogniser(given)
        assert read(recogniser, TEXT, "") == [[("Marie Curie", "PERSON")], []]
        assert recogniser([TEXT])[0][0].kb_id == "Q1" and recogniser.types == {"PERSON"}
    nlp.max_length = 20
    assert read(make_recogniser(nlp), "Nobody was there. " * 3 + TEXT) == [[("Marie Curie", "PERSON")]]


def test_any_function():
    recogniser = make_recogniser(lambda text: [{"start": text.index("Warsaw"), "end": text.index("Warsaw") + 6}])
    assert read(recogniser, TEXT) == [[("Warsaw", "")]]


@pytest.mark.parametrize(
    "given, words",
    [
        (3, "int 3 recognises nothing; give a token-classification model"),
        ("", "the name is empty"),
        ("no/such/folder", "recogniser no/such/folder: no such folder"),
        ("nobody/nothing", "recogniser nobody/nothing: no such folder"),
        ("missing.tsv", "missing.tsv: the list of names cannot be read"),
    ],
)
def test_what_is_no_recogniser_is_a_sentence(given, words):
    with pytest.raises(FineCLError, match=words):
        make_recogniser(given)


def test_a_folder_of_something_else_is_a_sentence(tmp_path):
    with pytest.raises(FineCLError, match="cannot be loaded"):
        make_recogniser(tmp_path)


def test_an_encoder_without_a_classifier_finds_nothing(bert_folder):
    with pytest.raises(FineCLError, match="was not trained to find entities"):
        make_recogniser(bert_folder)


@pytest.mark.slow
def test_a_folder_that_spacy_cannot_load_is_a_sentence(tmp_path):
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(FineCLError, match="spaCy"):
        make_recogniser(tmp_path)


def test_one_text_spoils_no_other():
    def find(text):
        if text == "bad":
            raise KeyError("x")
        return [(0, 99)] if text == "long" else [Span(0, 1)]

    found = recognise(make_recogniser(find), ["a", "bad", "long", "b"])
    assert [isinstance(one, FineCLError) for one in found] == [False, True, True, False]
    assert str(found[1]).startswith("the recogniser failed (KeyError") and "leaves the text" in str(found[2])
