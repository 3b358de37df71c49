"""The pipeline gives each document the same triples in any company, from any kind of folder."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

from finecl_hf import RelationExtractionPipeline
from finecl_hf.data.documents import Document
from finecl_hf.encoding.encoders import load_tokenizer
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.modeling import FineCLForRelationExtraction
from tests.helpers.script_runs import run
from tests.helpers.tiny_models import save_relation_model


RELATIONS = ["NA", "born in", "capital of", "died in", "located in"]


def build(encoder, folder, adapters=False, **settings):
    """Saves a relation model with a random head, or its adapters, as `run_finetune.py` does."""
    config = FineCLConfig(
        label2id={relation: i for i, relation in enumerate(RELATIONS)},
        id2label=dict(enumerate(RELATIONS)),
        **{"max_seq_length": 128, "relation_names": {"born in": "place of birth"}, **settings},
    )
    torch.manual_seed(0)
    model = FineCLForRelationExtraction.from_encoder(encoder, config)
    torch.nn.init.normal_(model.relation_head.weight, std=0.5)  # scores on both sides of the threshold
    with torch.no_grad():  # random numbers differ between processors: "born in" is found in any case, "died in" never
        model.relation_head.bias[1], model.relation_head.bias[3] = 10, -10
    return save_relation_model(model, encoder, folder, adapters).eval()


@pytest.fixture(scope="module")
def folder(bert_folder, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("extractor"))
    build(bert_folder, folder)
    return folder


@pytest.fixture(scope="module")
def extract(folder):
    return RelationExtractionPipeline.from_pretrained(folder, device="cpu")


@pytest.fixture
def documents(ada, curie):
    short = replace(curie, title="short", sentences=[curie.sentences[0][:10]], entities=curie.entities[:2])
    lonely = Document("lonely", ada.sentences, ada.entities[:1])
    return [ada, Document("empty", [], []), curie, lonely, replace(short, relations=[]), Document("bare", [["x"]], [])]


def same(one, other):
    """Equal triples, scores up to the rounding that padding brings about."""
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        assert left.pop("score") == pytest.approx(right.pop("score"), abs=1e-5)
        assert left == right


def by_fact(triples):
    return sorted(({**triple} for triple in triples), key=lambda t: (t["h_idx"], t["t_idx"], t["relation"]))


def test_triples_say_who_what_and_how_sure(extract, ada):
    triples = extract(ada)
    keys = ["head", "relation", "name", "tail", "score", "h_idx", "t_idx"]
    keys += ["head_span", "tail_span", "evidence", "evidence_spans"]
    assert triples and all(list(triple) == keys for triple in triples)
    assert [triple["score"] for triple in triples] == sorted((t["score"] for t in triples), reverse=True)
    for triple in triples:
        assert triple["head"] == ada.entities[triple["h_idx"]][0].name
        assert triple["tail"] == ada.entities[triple["t_idx"]][0].name
        assert triple["relation"] in RELATIONS[1:] and 0.5 < triple["score"] <= 1
        assert triple["name"] == {"born in": "place of birth"}.get(triple["relation"], triple["relation"])
        assert type(triple["h_idx"]) is int and type(triple["score"]) is float


@pytest.mark.parametrize("batch_size", [1, 2, 4, 100])
def test_batch_size_and_order_change_nothing(batch_size, extract, documents):
    alone = [by_fact(extract(document)) for document in documents]
    assert sum(map(bool, alone)) == 3 and alone[1] == alone[3] == alone[5] == []
    order = random.Random(batch_size).sample(range(len(documents)), len(documents))
    found = extract([documents[i] for i in order], batch_size=batch_size)
    for i, triples in zip(order, found, strict=True):
        same(by_fact(triples), [dict(triple) for triple in alone[i]])


def test_one_document_or_several_as_objects_or_dicts(extract, ada, curie):
    expected = extract([ada, curie])
    assert isinstance(expected[0], list)
    assert extract([ada.to_dict(), curie]) == extract(iter((ada, curie.to_dict()))) == expected
    same(extract(ada.to_dict()), extract(ada))
    assert extract([]) == [] and extract([Document("empty", [], [])]) == [[]]


def test_labels_and_titles_have_no_influence(extract, ada):
    unknown = {**ada.to_dict(), "title": "?", "labels": [{"h": 0, "t": 3, "r": "never seen in training"}]}
    assert extract(unknown) == extract(replace(ada, relations=[], labelled=False)) == extract(ada)


def test_an_invalid_dict_is_named(extract):
    with pytest.raises(DocumentError, match='expected the key "text", or "title", "sents"'):
        extract({"title": "x"})


def test_a_threshold_in_place_of_the_fitted_one(extract, ada):
    every = extract(ada, threshold=-1e9)
    assert len(every) == 4 * 3 * (len(RELATIONS) - 1)  # all candidates: fewer than 64
    assert extract(ada, threshold=1e9) == []
    middle = sorted(triple["score"] for triple in every)[20]
    chosen = extract(ada, threshold=float(torch.tensor(middle).logit()) + 1e-4)
    assert chosen == [triple for triple in every if triple["score"] > middle + 1e-5]
    assert extract([ada], threshold=0.0)[0] == extract(ada)  # only for the call
    at_construction = RelationExtractionPipeline(extract.model, extract.tokenizer, threshold=-1e9, device="cpu")
    assert at_construction(ada) == every and at_construction(ada, threshold=1e9) == []


def test_the_fitted_threshold_is_kept(bert_folder, tmp_path, ada):
    build(bert_folder, tmp_path, threshold=1e9)
    assert RelationExtractionPipeline.from_pretrained(str(tmp_path), device="cpu")(ada) == []


def test_the_transformers_pipeline_finds_it(folder, extract, ada, curie):
    tokenizer = load_tokenizer(folder)
    for options in ({"tokenizer": tokenizer}, {}):
        found = transformers.pipeline("relation-extraction", model=folder, device="cpu", **options)
        assert isinstance(found, RelationExtractionPipeline)
        assert found([ada, curie]) == extract([ada, curie])
    direct = transformers.pipeline("relation-extraction", model=extract.model, tokenizer=tokenizer, device="cpu")
    assert direct(ada) == extract(ada)


def test_an_adapter_folder(bert_folder, tmp_path, ada):
    model = build(bert_folder, tmp_path, adapters=True)
    assert (tmp_path / "adapter_config.json").exists() and not (tmp_path / "model.safetensors").exists()
    loaded = RelationExtractionPipeline.from_pretrained(str(tmp_path), device="cpu")
    unmerged = RelationExtractionPipeline(model.get_base_model(), load_tokenizer(bert_folder), device="cpu")
    found = loaded(ada, threshold=-1e9)
    same(by_fact(found), by_fact(unmerged(ada, threshold=-1e9)))
    without = tmp_path / "without"
    build(bert_folder, without)
    plain = RelationExtractionPipeline.from_pretrained(str(without), device="cpu")(ada, threshold=-1e9)
    assert [t["score"] for t in plain] != pytest.approx([t["score"] for t in loaded(ada, threshold=-1e9)], abs=1e-3)


def test_roberta_with_markers(roberta_folder, tmp_path, documents):
    build(roberta_folder, tmp_path, entity_markers="asterisk", loss="bce", max_seq_length=24)
    loaded = RelationExtractionPipeline.from_pretrained(str(tmp_path), device="cpu")
    together = loaded(documents, batch_size=3, threshold=-1e9)
    for document, triples in zip(documents, together, strict=True):
        same(by_fact(triples), by_fact(loaded(document, threshold=-1e9)))


def test_a_sentence_has_one_label_at_most(bert_folder, tmp_path, ada):
    build(bert_folder, tmp_path, task="sentence", loss="softmax")
    loaded = RelationExtractionPipeline.from_pretrained(str(tmp_path), device="cpu")
    sentences = [replace(ada, relations=[], pairs=[pair]) for pair in ((0, 1), (1, 0), (2, 3), (3, 0))]
    found = loaded(sentences)
    assert all(len(triples) <= 1 for triples in found) and any(found)
    for sentence, triples in zip(sentences, found, strict=True):
        every = loaded(sentence, threshold=-1e9)
        assert len(every) == 1 and (every[0]["h_idx"], every[0]["t_idx"]) == sentence.pairs[0]
        same(triples, every if every[0]["score"] > 0.5 else [])


def test_each_judged_pair_of_a_document_has_its_own_label(bert_folder, tmp_path, ada):
    build(bert_folder, tmp_path, task="sentence", loss="softmax")
    extract = RelationExtractionPipeline.from_pretrained(str(tmp_path), device="cpu")
    pairs = [(0, 1), (1, 2), (3, 0)]
    together = extract(replace(ada, relations=[], pairs=pairs), threshold=-1e9)
    assert sorted((triple["h_idx"], triple["t_idx"]) for triple in together) == sorted(pairs)


def test_a_configuration_that_says_more_tokens_than_the_encoder_reads(bert_folder, tmp_path, ada):
    build(bert_folder, tmp_path, max_seq_length=100_000)
    extract = RelationExtractionPipeline.from_pretrained(str(tmp_path), device="cpu")
    assert extract.encoder.max_length == 128


def test_a_model_that_tells_head_from_tail_judges_each_pair_by_itself(bert_folder, tmp_path, ada):
    build(bert_folder, tmp_path, task="sentence", loss="softmax", entity_markers="typed")
    extract = RelationExtractionPipeline.from_pretrained(str(tmp_path), device="cpu")
    assert len(extract(replace(ada, relations=[], pairs=[(0, 1)]), threshold=-1e9)) == 1
    found = extract(ada, threshold=-1e9, batch_size=3)
    assert {(triple["h_idx"], triple["t_idx"]) for triple in found} == set(ada.judged_pairs)
    assert [triple["score"] for triple in found] == sorted((triple["score"] for triple in found), reverse=True)
    for triple in found:  # as the one sentence that holds both, with nothing else marked
        if {triple["h_idx"], triple["t_idx"]} == {1, 2}:
            alone = replace(
                ada, relations=[], sentences=ada.sentences[:1], entities=[ada.entities[1], ada.entities[2]],
                pairs=[(triple["h_idx"] - 1, triple["t_idx"] - 1)],
            )  # fmt: skip
            (expected,) = extract(alone, threshold=-1e9)
            assert triple["score"] == pytest.approx(expected["score"], abs=1e-5)
            assert triple["relation"] == expected["relation"] and triple["evidence"] == [0]
    near = RelationExtractionPipeline(extract.model, extract.tokenizer, device="cpu", reach=1)
    pairs = {(triple["h_idx"], triple["t_idx"]) for triple in near(ada, threshold=-1e9)}
    assert pairs == {(h, t) for h, t in ada.judged_pairs if 3 not in (h, t) or 0 in (h, t)}


def test_a_model_that_was_trained_without_names_sees_none(bert_folder, corpus, tmp_path, ada):
    run("finetune", bert_folder, corpus, tmp_path, "--hide_names", "type", num_train_epochs=1)
    extract = RelationExtractionPipeline.from_pretrained(str(tmp_path))
    assert extract.model.config.hide_names == "type"
    other = Document.from_json(ada.to_json().replace("Ada Lovelace", "Marie Curie"))
    words = {"Ada": "Grace", "Lovelace": "Hopper", "London": "York", "England": "Maine", "Babbage": "Jones"}
    other.sentences = [[words.get(word, word) for word in sentence] for sentence in other.sentences]
    scores = [[triple["score"] for triple in extract(document, threshold=-1e9)] for document in (ada, other)]
    assert scores[0] == scores[1] and len(scores[0]) > 10


def test_what_lies_past_the_model_s_length_is_said(bert_folder, tmp_path, ada, caplog):
    build(bert_folder, tmp_path, max_seq_length=12, long_documents="truncate")
    extract = RelationExtractionPipeline.from_pretrained(str(tmp_path))
    extract([ada, replace(ada, title="again")])
    (told,) = [record.getMessage() for record in caplog.records if "past the 12 tokens" in record.getMessage()]
    assert "mentions in 2 documents" in told
    caplog.clear()
    build(bert_folder, tmp_path, max_seq_length=128)
    RelationExtractionPipeline.from_pretrained(str(tmp_path))(ada)
    assert "tokens that the model reads" not in caplog.text


def test_windows_find_relations_between_entities_that_lie_far_apart(bert_folder, tmp_path, ada, caplog):
    """Padding between the arguments pushes one of them past what the encoder reads at a time."""
    build(bert_folder, tmp_path)
    long = replace(ada, sentences=[[*ada.sentences[0], *["the"] * 300], *ada.sentences[1:]])
    found = RelationExtractionPipeline.from_pretrained(str(tmp_path))(long, threshold=-1e9)
    pairs = {(triple["h_idx"], triple["t_idx"]) for triple in found}
    assert pairs == set(ada.judged_pairs) and not caplog.records


# Raw text -----------------------------------------------------------------------------------------

TEXT = "Marie Curie was born in Warsaw. She left London."
ENTITIES = [{"start": 0, "end": 11, "label": "PER"}, {"start": 24, "end": 30, "label": "LOC"}, (41, 47, "LOC")]
NAMES = {"Marie Curie": "PER", "Warsaw": "LOC", "London": "LOC"}


def find(text):
    return [(text.index(name), text.index(name) + len(name), kind) for name, kind in NAMES.items() if name in text]


def test_raw_text_and_text_with_entities(folder, extract):
    reading = RelationExtractionPipeline.from_pretrained(folder, device="cpu", recogniser=find)
    found = extract({"text": TEXT, "entities": ENTITIES})
    assert found and reading(TEXT) == found and reading([TEXT]) == [found]
    for triple in found:
        assert TEXT[slice(*triple["head_span"])] == triple["head"] and triple["evidence"] in ([0], [1], [0, 1])
        assert all(TEXT[start:end].endswith(".") for start, end in triple["evidence_spans"])
    with pytest.raises(FineCLError, match="this is raw text"):
        extract(TEXT)
    with pytest.raises(FineCLError, match="document 1, entities: expected a list"):
        extract([{"text": TEXT, "entities": ENTITIES}, {"text": TEXT, "entities": 3}])


def test_a_stream_is_in_order_and_reads_a_window_ahead(folder, ada, curie):
    extract = RelationExtractionPipeline.from_pretrained(folder, device="cpu", recogniser=find)
    read = []

    def endless():
        while True:
            for item in (TEXT, curie, "", ada.to_dict(), TEXT * 3):
                read.append(item)
                yield item

    stream = extract.extractions(endless(), batch_size=2, window=7)
    found = [next(stream) for _ in range(15)]
    assert len(read) == 21
    for item, extraction in zip(read, found, strict=False):
        assert extraction.item is item
        same(by_fact(extraction.triples), by_fact(extract(item)))
    stream = extract.stream([TEXT, ada, {"sents": 3}, TEXT], batch_size=1)
    assert len(next(stream)) > 0 and len(next(stream)) > 0
    with pytest.raises(FineCLError, match='document 2.*"title" is missing'):
        next(stream)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": True}, {"batch_size": "x"}])
def test_options_of_a_call_that_mean_nothing(options, extract, ada):
    with pytest.raises(FineCLError, match="batch_size"):
        extract([ada], **options)
    with pytest.raises(FineCLError, match="batch_size"):
        extract.stream([ada], **options).__next__()
    for name in (None, "", 3):
        with pytest.raises(FineCLError, match="names no model"):
            RelationExtractionPipeline.from_pretrained(name)
    assert extract([ada], batch_size=np.int64(2)) == extract([ada], batch_size=2)
    for threshold in ("0.5", True, float("nan"), [1]):
        with pytest.raises(FineCLError, match="threshold is"):
            extract([ada], threshold=threshold)
    with pytest.raises(FineCLError, match="expected documents or texts"):
        extract(3)
    with pytest.raises(FineCLError, match="a stream is of several"):
        extract.stream(TEXT).__next__()


def test_parts_of_a_large_text_are_said(extract, monkeypatch, caplog):
    monkeypatch.setattr("finecl_hf.extraction.parts.MOST_WORDS", 8)
    found = extract({"text": TEXT, "entities": ENTITIES}, threshold=-1e9)
    assert {(triple["h_idx"], triple["t_idx"]) for triple in found} == {(0, 1), (1, 0)}
    assert "are judged in 2 parts, cut between sentences" in caplog.text
