"""Documents become token features: alignment on odd text, truncation, markers, each against a slow loop."""

import os
import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModel, BertConfig, PreTrainedTokenizerFast, T5Config

from finecl_hf.data.corpus import load_corpus
from finecl_hf.data.documents import Document, Fact, Mention
from finecl_hf.data.readers import write_documents
from finecl_hf.encoding.batches import RelationCollator
from finecl_hf.encoding.encoders import SHIFTED_POSITIONS, load_tokenizer, max_length_for
from finecl_hf.encoding.feature_table import COLUMNS, Truncation, fact_keys, with_fact_column
from finecl_hf.encoding.features import (
    DocumentEncoder,
    LabelledFeatures,
    lay_out,
    mention_token_spans,
    token_windows,
    truncate,
)
from finecl_hf.errors import FineCLError
from finecl_hf.hashing import text_key, type_key
from tests.helpers.tiny_models import TEXT


LABELS = {"NA": 0, "born in": 1, "located in": 2, "capital of": 3, "died in": 4}

ODD_WORDS = [
    *["", " ", "\u200b", "\ufeff", "\u00ad", "\u200d", "\x00", "\x07", "\n", "\t", "\x85", "\u2028"],
    *["*", "[SEP]", "</s>", "[MASK]", "<mask>", "##a", "▁", "New York", "don't", "1,234.5"],
    *["e\u0301\u0323", "\u0301", "👩‍👩‍👧", "🇫🇷", "שלום", "مرحبا"],
    *["東京", "ｶﾞ", "İstanbul", "ﬁ", "a\u200bb", "\U0010ffff"],
]
PLAIN_WORDS = " ".join(TEXT[:4]).split()


@pytest.fixture(scope="session")
def unigram_tokenizer():
    """SentencePiece's kind: Unigram behind `▁`, whose normaliser drops control and zero-width characters."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces = Tokenizer(models.Unigram())
    pieces.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    pieces.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>", show_progress=False)
    pieces.train_from_iterator(TEXT, trainer)
    pieces.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    names = zip(("bos", "pad", "eos", "unk", "mask"), special, strict=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=pieces, model_max_length=128, **{f"{name}_token": token for name, token in names}
    )


@pytest.fixture(params=["bert", "roberta", "unigram"], scope="session")
def tokenizer(request):
    return request.getfixturevalue(f"{request.param}_tokenizer")


@st.composite
def documents(draw, words=None):
    """Sentences of odd words, some empty; entities with nested, adjacent and overlapping mentions; facts."""
    if words is None:
        words = st.one_of(
            st.sampled_from(ODD_WORDS),
            st.sampled_from(PLAIN_WORDS),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
        )
    sentences = draw(st.lists(st.lists(words, max_size=8), max_size=4))
    spans = [
        (i, start, end)
        for i, sentence in enumerate(sentences)
        for start in range(len(sentence))
        for end in range(start + 1, len(sentence) + 1)
    ]
    if not spans:
        return Document("empty", sentences, [])
    entities = draw(st.lists(st.lists(st.sampled_from(spans), min_size=1, max_size=3), max_size=5))
    entities = [[Mention("name", *span) for span in entity] for entity in entities]
    pairs = [(h, t) for h in range(len(entities)) for t in range(len(entities)) if h != t]
    facts = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=6)) if pairs else []
    judged = draw(st.sampled_from([None, pairs[: len(pairs) // 2]]))
    evidence = st.sets(st.integers(0, len(sentences) - 1), max_size=2).map(sorted)
    facts = [
        Fact(head, tail, "born in", draw(evidence)) for head, tail in facts if judged is None or (head, tail) in judged
    ]
    return Document("odd", sentences, entities, facts, pairs=judged)


def encode(document, tokenizer, max_length=128, markers="none"):
    columns = DocumentEncoder(tokenizer, LABELS, max_length, markers).encode([document])
    return {name: list(values[0]) if hasattr(values[0], "__len__") else values[0] for name, values in columns.items()}


def oracle(document, tokenizer, max_length, markers="none"):
    """The row by loops: token by token, mention by mention."""
    words, spans, sentences = lay_out(document, markers)
    encoded = tokenizer(words or [""], is_split_into_words=True)
    ids, word_ids = encoded["input_ids"], encoded.word_ids()
    text = [i for i, word in enumerate(word_ids) if word is not None]
    closing = len(ids) - (text[-1] + 1) if text else len(ids)
    limit = len(ids) if len(ids) <= max_length else max_length - closing
    mentions, visible, lost = [], set(), 0
    entity_of = [number for number, entity in enumerate(document.entities) for _ in entity]
    for entity, (start, end) in zip(entity_of, spans.tolist(), strict=True):
        tokens = [i for i in text if start <= word_ids[i] < end]
        if not tokens:  # the next token, or the last one
            tokens = [i for i in text if word_ids[i] >= end][:1] or text[-1:]
        if tokens and all(i < limit for i in tokens):
            assert tokens == list(range(tokens[0], tokens[-1] + 1))
            mentions.append((tokens[0], tokens[-1] + 1, entity))
            visible.add(entity)
        else:
            lost += 1
    facts = [fact for fact in document.relations if {fact.head, fact.tail} <= visible]
    starts = [min((i for i in text if word_ids[i] >= first), default=len(ids)) for first in sentences]
    starts = [start for start in starts if start < limit]
    return {
        "key": text_key(document.title),
        "input_ids": ids if len(ids) <= max_length else ids[:limit] + ids[len(ids) - closing :],
        "num_entities": len(document.entities),
        "mention_start": [start for start, _, _ in mentions],
        "mention_end": [end for _, end, _ in mentions],
        "mention_entity": [entity for _, _, entity in mentions],
        "entity_type": [type_key(entity[0].type) for entity in document.entities],
        "window_index": [],
        "window_lengths": [],
        "all_pairs": document.pairs is None,
        "pair_head": [head for head, tail in document.pairs or () if {head, tail} <= visible],
        "pair_tail": [tail for head, tail in document.pairs or () if {head, tail} <= visible],
        "head": [fact.head for fact in facts],
        "tail": [fact.tail for fact in facts],
        "relation": [LABELS[fact.relation] for fact in facts],
        "fact_key": [text_key(document.instance_id(fact)) for fact in facts],
        "sentence_start": [int(start) for start in starts],
        "evidence_fact": [n for n, fact in enumerate(facts) for s in fact.evidence if s < len(starts)],
        "evidence_sentence": [s for fact in facts for s in fact.evidence if s < len(starts)],
        "lost_mentions": lost,
        "lost_entities": len(document.entities) - len(visible),
        "lost_facts": len(document.relations) - len(facts),
    }


@settings(max_examples=150, deadline=None)
@given(document=documents(), max_length=st.integers(8, 48), markers=st.sampled_from(["none", "asterisk"]))
def test_features_are_what_the_loop_says(tokenizer, document, max_length, markers):
    row = encode(document, tokenizer, max_length, markers)
    assert row == oracle(document, tokenizer, max_length, markers)
    assert list(row) == list(COLUMNS) and len(row["input_ids"]) <= max_length
    for start, end in zip(row["mention_start"], row["mention_end"], strict=True):
        assert 0 < start < end < len(row["input_ids"])  # never a special token at either end


@settings(max_examples=50, deadline=None)
@given(batch=st.lists(documents(), min_size=1, max_size=4))
def test_a_batch_is_its_documents_one_by_one(tokenizer, batch):
    encoder = DocumentEncoder(tokenizer, LABELS, 32)
    columns = encoder.encode(batch)
    for i, document in enumerate(batch):
        alone = encoder.encode([document])
        assert all(list(map(str, [columns[name][i]])) == list(map(str, alone[name])) for name in COLUMNS)


@pytest.mark.parametrize("word", ["\u200b", "\ufeff", "\u00ad", "", "\x00", "\x07"])
def test_mentions_without_a_token_borrow_a_neighbour(tokenizer, word):
    document = Document("t", [["Ada", word], ["London", word]], [[Mention("x", 0, 1, 2)], [Mention("x", 1, 1, 2)]])
    row = encode(document, tokenizer)
    assert row["lost_mentions"] == 0 and row == oracle(document, tokenizer, 128)


def test_spans_by_hand():
    word_ids = [None, 0, 0, 2, 3, 3, None]  # word 1 and word 4 have no token
    spans = [[0, 1], [0, 2], [1, 2], [1, 3], [2, 4], [4, 5], [0, 5]]
    found = mention_token_spans(word_ids, torch.tensor(spans).numpy())
    assert found.tolist() == [[1, 3], [1, 3], [3, 4], [3, 4], [3, 6], [5, 6], [1, 6]]
    assert mention_token_spans([None, None], torch.tensor([[0, 1]]).numpy()).tolist() == [[-1, -1]]


def test_truncation_by_hand():
    word_ids = [None, 0, 1, 2, 3, None]
    assert truncate([7, 10, 11, 12, 13, 8], word_ids, 6) == ([7, 10, 11, 12, 13, 8], 5)
    assert truncate([7, 10, 11, 12, 13, 8], word_ids, 4) == ([7, 10, 11, 8], 3)
    assert truncate([7, 10, 11, 12], word_ids[:4], 3) == ([7, 10, 11], 3)  # no special token behind


# Markers ------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(document=documents(words=st.sampled_from("abcdef")))
def test_markers_enclose_the_words_of_each_mention(document):
    words, spans, _ = lay_out(document)
    marked, marked_spans, _ = lay_out(document, "asterisk")
    assert [word for word in marked if word != "*"] == words
    assert len(marked) - len(words) == len(set(spans[:, 0])) + len(set(spans[:, 1]))
    mentions = [mention for entity in document.entities for mention in entity]
    for mention, span, (start, end) in zip(mentions, spans, marked_spans, strict=True):
        assert " ".join(words[slice(*span)]) == document.mention_text(mention)
        inside = marked[start:end]
        assert inside[0] == inside[-1] == "*" and len(inside) >= 3
        assert [word for word in inside if word != "*"] == words[slice(*span)]


@pytest.mark.parametrize(
    "spans, marked, expected",
    [
        ([(0, 1), (1, 2)], "* a * * b * c", [(0, 3), (3, 6)]),  # adjacent
        ([(0, 3), (1, 2)], "* a * b * c *", [(0, 7), (2, 5)]),  # nested
        ([(0, 2), (1, 3)], "* a * b * c *", [(0, 5), (2, 7)]),  # overlapping
        ([(0, 1), (0, 2)], "* a * b * c", [(0, 3), (0, 5)]),  # with one start
        ([(1, 3), (1, 3)], "a * b c *", [(1, 5), (1, 5)]),  # twice
    ],
)
def test_markers_by_hand(spans, marked, expected):
    document = Document("t", [["a", "b", "c"]], [[Mention("x", 0, *span)] for span in spans])
    words, found, _ = lay_out(document, "asterisk")
    assert " ".join(words) == marked and list(map(tuple, found.tolist())) == expected


def test_markers_change_no_fact(tokenizer, ada):
    plain, marked = encode(ada, tokenizer), encode(ada, tokenizer, markers="asterisk")
    star = tokenizer(["*"], is_split_into_words=True, add_special_tokens=False)["input_ids"]
    assert len(marked["input_ids"]) == len(plain["input_ids"]) + 2 * 5 * len(star)
    assert all(plain[name] == marked[name] for name in ("head", "tail", "relation", "fact_key", "mention_entity"))
    for start, end in zip(marked["mention_start"], marked["mention_end"], strict=True):
        assert marked["input_ids"][start : start + len(star)] == star == marked["input_ids"][end - len(star) : end]


# Truncation ---------------------------------------------------------------------------------------


def test_the_report_counts_what_is_lost(bert_tokenizer, ada, curie, tmp_path):
    write_documents([ada, curie], tmp_path / "documents.json")
    corpus = load_corpus(str(tmp_path / "documents.json"))
    short = DocumentEncoder(bert_tokenizer, LABELS, 12).encode_corpus(corpus)
    rows = [oracle(document, bert_tokenizer, 12) for document in (ada, curie)]
    report = Truncation.of(short, 12)
    lost = {name: sum(row[name] for row in rows) for name in ("lost_mentions", "lost_entities", "lost_facts")}
    assert min(lost.values()) > 0
    assert vars(report) == {"documents": 2, "mentions": 8, **lost, "max_length": 12, "windows": 0}
    assert str(report) == (
        f"Past 12 tokens lie {lost['lost_mentions']} of 8 mentions ({lost['lost_mentions'] / 8:.1%}, in 2 documents); "
        f"out of reach with them: {lost['lost_entities']} entities, {lost['lost_facts']} facts."
    )
    whole = Truncation.of(DocumentEncoder(bert_tokenizer, LABELS, 128).encode_corpus(corpus), 128)
    assert str(whole) == "All 8 mentions lie within 128 tokens." and whole.documents == 0
    parts = Truncation.of(
        DocumentEncoder(bert_tokenizer, LABELS, 12, long_documents="windows").encode_corpus(corpus), 12
    )
    assert (parts.windows, parts.lost_mentions, parts.mentions) == (2, 0, 8) and "2 documents" in str(parts)


@pytest.mark.parametrize("max_length", [8, 9, 13, 40])
@pytest.mark.parametrize("length", [3, 8, 9, 12, 41, 200])
def test_windows_cover_every_token_and_overlap(length, max_length):
    word_ids = [None, *range(length - 2), None]
    windows = token_windows(word_ids, max_length)
    if length <= max_length:
        assert windows == []
        return
    size = max_length - 2
    assert all(len(window) == max_length and window[0] == 0 and window[-1] == length - 1 for window in windows)
    texts = [window[1:-1] for window in windows]
    assert all((np.diff(text) == 1).all() for text in texts)
    assert set(np.concatenate(texts).tolist()) == set(range(1, length - 1))
    overlaps = [first[-1] - second[0] + 1 for first, second in pairwise(texts)]
    assert all(size > overlap >= size // 4 - 1 for overlap in overlaps)


@settings(max_examples=60, deadline=None)
@given(document=documents(), max_length=st.integers(8, 48))
def test_nothing_is_lost_with_windows(tokenizer, document, max_length):
    columns = DocumentEncoder(tokenizer, LABELS, max_length, long_documents="windows").encode([document])
    row = {name: values[0] for name, values in columns.items()}
    whole = encode(document, tokenizer, 10_000)
    assert {name for name in whole if list(np.ravel(row[name])) != list(np.ravel(whole[name]))} <= {
        "window_index", "window_lengths"
    }  # fmt: skip
    assert sum(row["window_lengths"]) == len(row["window_index"])
    assert bool(row["window_lengths"]) == (len(row["input_ids"]) > max_length)


def test_max_length_is_what_the_positions_allow(bert_tokenizer, roberta_tokenizer, bert_folder, roberta_folder):
    roberta = AutoConfig.from_pretrained(roberta_folder)
    roberta_tokenizer = load_tokenizer(roberta_folder)
    roberta_tokenizer.model_max_length = int(1e30)  # as tokenizers have it that know no limit
    assert roberta.max_position_embeddings == 130
    assert max_length_for(roberta_tokenizer, roberta) == 128
    model = AutoModel.from_pretrained(roberta_folder)
    assert model(torch.full((1, 128), 5)).last_hidden_state.shape[1] == 128
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, 129), 5))

    bert = AutoConfig.from_pretrained(bert_folder)
    assert max_length_for(bert_tokenizer, bert) == 128
    assert max_length_for(bert_tokenizer, bert, 64) == 64
    assert max_length_for(bert_tokenizer, BertConfig(max_position_embeddings=40)) == 40
    assert max_length_for(roberta_tokenizer, T5Config()) == 512  # relative positions
    for requested in (0, 7, 129):
        with pytest.raises(FineCLError, match=f"--max_seq_length {requested} is out of range.* 8 to 128 tokens"):
            max_length_for(bert_tokenizer, bert, requested)


@pytest.mark.parametrize("model_type", ["bert", "electra", *sorted(SHIFTED_POSITIONS)])
def test_every_position_can_be_used_and_no_more(model_type, roberta_folder):
    config = AutoConfig.for_model(
        model_type, vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=20, pad_token_id=1,
    )  # fmt: skip
    config.entity_vocab_size = 10  # Luke's half a million takes seconds
    if model_type == "longformer":
        config.attention_window = [4]
    if model_type == "xmod":
        config.languages, config.default_language = ["en_XX"], "en_XX"
    tokenizer = load_tokenizer(roberta_folder)
    tokenizer.model_max_length = int(1e30)
    model = AutoModel.from_config(config).eval()
    longest = max_length_for(tokenizer, config)
    model(torch.full((1, longest), 5), attention_mask=torch.ones(1, longest))
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, longest + 1), 5), attention_mask=torch.ones(1, longest + 1))


# Corpora ------------------------------------------------------------------------------------------


def test_documents_without_words_or_entities(tokenizer):
    empty = [Document("a", [], []), Document("b", [[]], []), Document("c", [["Ada"]], [])]
    columns = DocumentEncoder(tokenizer, LABELS, 16).encode(empty)
    assert columns["num_entities"] == [0, 0, 0] and columns["fact_key"] == [[], [], []]
    assert list(map(list, columns["mention_start"])) == [[], [], []]
    rows = [{name: values[i] for name, values in columns.items()} for i in range(3)]
    assert RelationCollator(tokenizer.pad_token_id)(rows)["pair_counts"] == [0, 0, 0]


def test_a_document_of_invisible_words_loses_its_mentions(bert_tokenizer):
    document = Document("t", [["\u200b", ""]], [[Mention("x", 0, 0, 1)], [Mention("y", 0, 1, 2)]])
    document.relations.append(Fact(0, 1, "born in"))
    row = encode(document, bert_tokenizer)
    assert (row["lost_mentions"], row["lost_entities"], row["lost_facts"]) == (2, 2, 1)


def test_shuffled_documents_keep_their_rows(tokenizer, ada, curie):
    batch = [ada, curie, *(Document(f"d{i}", ada.sentences, ada.entities, ada.relations) for i in range(6))]
    shuffled = random.Random(0).sample(batch, len(batch))
    rows = {document.title: encode(document, tokenizer) for document in batch}
    columns = DocumentEncoder(tokenizer, LABELS, 128).encode(shuffled)
    for i, document in enumerate(shuffled):
        assert columns["fact_key"][i] == rows[document.title]["fact_key"]
        assert columns["key"][i] == rows[document.title]["key"]
    assert len({id for ids in columns["fact_key"] for id in ids}) == sum(map(len, columns["fact_key"]))


@pytest.fixture
def many(ada, curie, tmp_path):
    path = tmp_path / "documents.jsonl"
    write_documents(
        [Document(f"{d.title} {i}", d.sentences, d.entities, d.relations) for i in range(9) for d in (ada, curie)],
        path,
    )
    return str(path)


@pytest.fixture
def corpus(many, tmp_path):
    return load_corpus(many, cache_dir=str(tmp_path / "cache"))


def test_two_processes_give_the_same_features(many, tmp_path, bert_tokenizer):
    one, two, ninety = (
        DocumentEncoder(bert_tokenizer, LABELS, 20).encode_corpus(
            load_corpus(many, cache_dir=str(tmp_path / str(count))), num_proc=count
        )
        for count in (1, 2, 90)
    )
    assert one.features == two.features == COLUMNS
    assert one.to_dict() == two.to_dict() == ninety.to_dict() and len(one) == 18
    assert [len(ds.cache_files) for ds in (one, two, ninety)] == [1, 2, 1]  # two were at work, 90 would be too many


def test_a_second_start_reads_the_cache(corpus, bert_folder):
    def start(max_length):
        return (
            DocumentEncoder(load_tokenizer(bert_folder), LABELS, max_length)
            .encode_corpus(corpus)
            .cache_files[0]["filename"]
        )

    first = start(20)
    written = os.stat(first).st_mtime_ns
    assert start(20) == first and os.stat(first).st_mtime_ns == written
    assert start(21) != first


def test_labelled_features_hold_both(corpus, bert_tokenizer, ada):
    features = DocumentEncoder(bert_tokenizer, LABELS, 20).encode_corpus(corpus)
    dataset = LabelledFeatures(features, [ada] * len(features))
    assert len(dataset) == 18 and dataset[3] == features[3] and dataset.documents[0] is ada


def test_slow_tokenizers_are_refused(monkeypatch):
    class Slow:
        is_fast = False

    monkeypatch.setattr("finecl_hf.encoding.encoders.AutoTokenizer.from_pretrained", lambda *args, **kwargs: Slow())
    with pytest.raises(FineCLError, match="some/model has no fast tokenizer"):
        load_tokenizer("some/model")


# Columns of facts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [slice(None), slice(None, None, -1), [2, 3], [1], [6, 4, 0, 5]])
def test_fact_columns_fit_the_facts(corpus, bert_tokenizer, rows):
    features = DocumentEncoder(bert_tokenizer, LABELS, 20).encode_corpus(corpus)
    features = features.select(np.arange(len(features))[rows])
    keys = fact_keys(features).tolist()
    assert keys == [key for row in features for key in row["fact_key"]]
    joined = with_fact_column(features, "number", np.arange(len(keys), dtype=np.int64))
    assert fact_keys(joined).tolist() == keys
    for row in joined:
        assert [keys[number] for number in row["number"]] == row["fact_key"]
    assert joined.remove_columns("number").to_dict() == features.to_dict()
