import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from finecl_hf.data.documents import Document
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.learning_order.missing_labels import MissingLabel
from finecl_hf.pretraining.collator import PretrainCollator
from finecl_hf.pretraining.na_doubts import NaDoubts
from finecl_hf.pretraining.step import Contrast
from tests.helpers.feature_rows import VOCABULARY, random_row, random_rows


PAD, CLS, SEP, MASK = 0, 2, 3, 4
NAMES = [[900], [901, 902], [903], [904, 905, 906], [907], [908, 909]]  # tokens of each relation's name


def _collator(**settings):
    settings = {"max_length": 100, "vocab_size": VOCABULARY, "relation_tokens": NAMES, **settings}
    return PretrainCollator(PAD, CLS, SEP, MASK, special_ids=[0, 1, 2, 3, 4], **settings)


def _weighted(rows, seed=0):
    """A weight for each fact; about a third are NaN."""
    rng = np.random.default_rng(seed)
    rows = [{**row, "weight": rng.random(len(row["head"])).astype(np.float32)} for row in rows]
    for row in rows:
        row["weight"][rng.random(len(row["weight"])) < 0.3] = np.nan
    return rows


ROWS = _weighted(
    [
        *random_rows(11),
        random_row(50, num_entities=6, out_of_reach=2),
        random_row(51, num_entities=6, all_pairs=False),
        random_row(52, num_entities=0, num_facts=0),
    ]
)


def _original_ids(batch):
    ids = batch["input_ids"].clone()
    ids[batch["masked"]] = batch["masked_labels"]
    return ids


def _facts(row, used):
    facts = zip(row["head"], row["tail"], row["relation"], row["weight"], strict=True)
    return [fact for fact in facts if not used or not np.isnan(fact[3])]


def _bases(rows):
    return np.cumsum([0] + [row["num_entities"] for row in rows])


def _instances(rows, batch):
    """Per document: its facts' pairs and weights, then its NA pairs, numbered within the document."""
    base, learned = _bases(rows), batch["learned"]
    documents = [([], []) for _ in rows]
    for i, ((head, tail), weight) in enumerate(zip(batch["pairs"].tolist(), batch["weights"].tolist(), strict=True)):
        document = int(np.flatnonzero(base <= head)[-1])
        while rows[document]["num_entities"] == 0:
            document -= 1
        pair = (head - base[document], tail - base[document])
        documents[document][i >= learned].append((*pair, weight))
    return documents


def _spans(row):
    return list(zip(row["mention_start"], row["mention_end"], row["mention_entity"], strict=True))


def _first_span(row, entity):
    return min(span for span in _spans(row) if span[2] == entity)


def _queries(rows, batch):
    """What each entity row says: (document, relation, head, kept text), matched by its tokens alone."""
    found = []
    ids = _original_ids(batch)[len(rows) :]
    attention = batch["attention_mask"][len(rows) :]
    for tokens, mask in zip(ids, attention, strict=True):
        tokens = tokens[mask.bool()].tolist()
        relation = next(r for r, name in enumerate(NAMES) if tokens[1 : 1 + len(name)] == name)
        end = tokens.index(SEP)
        found.append((relation, tokens[1 + len(NAMES[relation]) : end], tokens[end + 1 :]))
        assert tokens[0] == CLS and tokens[-1] == SEP
    return found


def test_each_row_has_the_key_of_its_document():
    keys = [row["key"] for row in ROWS]
    found = _collator()(ROWS)["keys"].tolist()
    assert found[: len(keys)] == keys and len(found) > len(keys)
    assert set(found[len(keys) :]) <= set(keys)  # entity rows


def test_relation_rows_hold_learned_facts_and_na_pairs():
    batch = _collator(na_pairs=5, na_weight=0.25)(ROWS)
    assert batch["learned"] == sum(len(_facts(row, used=True)) for row in ROWS)
    for row, (facts, na) in zip(ROWS, _instances(ROWS, batch), strict=True):
        expected = [(head, tail, float(weight)) for head, tail, _, weight in _facts(row, used=True)]
        assert facts == expected
        labelled = {fact[:2] for fact in _facts(row, used=False)}  # a dropped label does not make its pair NA
        if row["all_pairs"]:
            visible = set(row["mention_entity"])
            judged = {(head, tail) for head in visible for tail in visible if head != tail}
        else:
            judged = set(zip(row["pair_head"], row["pair_tail"], strict=True))
        pairs = [pair[:2] for pair in na]
        assert len(set(pairs)) == len(pairs) == min(5, len(judged - labelled))
        assert set(pairs) <= judged - labelled and all(weight == 0.25 for *_, weight in na)


def test_na_pairs_that_may_be_facts_weigh_less():
    (row,) = _weighted([random_row(50, num_entities=6)])
    plain = _instances([row], _collator(na_weight=0.25)([row]))[0][1]
    (head, tail, _), *others = plain
    document = Document("d", ["a"], [])
    missing = MissingLabel("", document.title, head, tail, "has", "a", "b", 0.5, 0.0, 0.0, 0.0, score=1.0)
    row = {**row, "key": document.key}  # draws differ, pairs do not: all are taken
    doubts = NaDoubts([missing])
    facts, doubted = _instances([row], _collator(na_weight=0.25, na_doubts=doubts)([row]))[0]
    weight = {(one, other): value for one, other, value in doubted}
    assert weight[head, tail] == pytest.approx(0.25 + np.log(1 - 1 / (1 + np.exp(-1.0))))
    assert {weight[one, other] for one, other, _ in others} == {0.25}
    assert [fact[2] for fact in facts] == [fact[2] for fact in _instances([row], _collator()([row]))[0][0]]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_names_are_blanked_in_relation_rows_alone(share):
    plain, batch = (_collator(mask_share=0.0, blank_share=value)(ROWS) for value in (0.0, share))
    count, seen = len(ROWS), 0
    for row, before, after in zip(ROWS, plain["input_ids"], batch["input_ids"], strict=False):
        changed = (before != after).tolist()
        blanked = {entity for start, end, entity in _spans(row) if all(changed[start:end])}
        expected = before.clone()
        for start, end, entity in _spans(row):
            if entity in blanked:
                expected[start:end] = MASK
        assert torch.equal(after, expected)  # all mentions of an entity or none
        seen += len(blanked)
    mentioned = sum(len(set(row["mention_entity"])) for row in ROWS)
    assert seen == {0.0: 0, 1.0: mentioned}.get(share, seen) and (share != 0.5 or 0.3 < seen / mentioned < 0.7)
    assert torch.equal(plain["input_ids"][count:], batch["input_ids"][count:])  # queries ask by name


def test_entity_rows_can_be_left_away():
    whole, batch = (_collator(entity_rows=kept)(ROWS) for kept in (True, False))
    assert len(batch["input_ids"]) == len(ROWS) < len(whole["input_ids"])
    assert len(batch["queries"]) == len(batch["positives"]) == 0 and batch["candidate_mask"].shape[0] == 0
    assert torch.equal(batch["pairs"], whole["pairs"]) and torch.equal(batch["weights"], whole["weights"])


def test_instances_carry_what_contrast_needs():
    batch = _collator()(ROWS)
    relation = [fact[2] for row in ROWS for fact in _facts(row, used=True)]
    assert batch["relation"].tolist() == relation + [0] * (len(batch["pairs"]) - len(relation))
    assert batch["num_relations"] == len(NAMES)
    same_pair = (batch["pairs"][:, None] == batch["pairs"]).all(-1)
    assert torch.equal(batch["pair"][:, None] == batch["pair"], same_pair) and batch["pair"].max() < len(same_pair)
    assert len(set(batch["instance_key"].tolist())) == len(same_pair)
    assert batch["keys"].tolist() == [row["key"] for row in ROWS] + batch["keys"][len(ROWS) :].tolist()
    assert set(batch["keys"].tolist()) == {row["key"] for row in ROWS}


def test_chunks_are_batches_of_fewer_documents():
    whole, chunked = _collator(), _collator(chunk_documents=4)
    chunks = chunked(ROWS)["chunks"]
    assert len(chunks) == -(-len(ROWS) // 4)
    for i, chunk in enumerate(chunks):
        expected = whole(ROWS[4 * i : 4 * i + 4])
        assert chunk.keys() == expected.keys()
        for name, value in expected.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(chunk[name])), name
    assert "chunks" not in chunked(ROWS[:4])


def _entity_vectors(ids, batch):
    """Set of tokens that each entity row pools."""
    parts = np.split(batch["token_index"].numpy(), batch["entity_offsets"].numpy()[1:])
    return [ids.flatten()[part].tolist() for part in parts]


@pytest.mark.parametrize("max_length", [100, *range(38, 66)])
def test_entity_rows(max_length):
    rows = [row for row in ROWS if len(row["input_ids"]) <= max_length]
    batch = _collator(max_length=max_length)(rows)
    assert batch["input_ids"].shape[1] <= max_length
    queries = _queries(rows, batch)
    pooled = _entity_vectors(_original_ids(batch), batch)
    relation_entities = int(_bases(rows)[-1])
    texts = [row["input_ids"] for row in rows]
    first = relation_entities
    askers = []
    for q, (relation, name, text) in enumerate(queries):
        (document,) = (d for d, ids in enumerate(texts) if ids[1 : len(text)] == text[:-1])
        askers.append(document)
        row = rows[document]
        prefix = len(NAMES[relation]) + len(name) + 1
        # as much of the text as fits, then the last special token
        assert len(text) == min(len(row["input_ids"]) - 1, max_length - 1 - prefix)
        head, tail = batch["queries"][q].item() - first, batch["positives"][q].item() - first
        assert (head, tail, relation) in {fact[:3] for fact in _facts(row, used=True)}
        start, end, _ = _first_span(row, head)
        assert name == row["input_ids"][start:end]
        in_reach = [span for span in _spans(row) if span[1] <= len(text)]  # token i of the document is i - 1 of text
        visible = {span[2] for span in in_reach}
        assert {head, tail} <= visible
        answers = {fact[1] for fact in _facts(row, used=False) if (fact[0], fact[2]) == (head, relation)}
        candidates = set((batch["candidate_mask"][q].nonzero()[:, 0] - first).tolist())
        assert candidates == visible - {head} - answers
        for entity in range(row["num_entities"]):  # shifted spans still show the mentions' own tokens
            mentions = [row["input_ids"][s:e] for s, e, of in in_reach if of == entity]
            assert sorted(pooled[first + entity]) == sorted(token for mention in mentions for token in mention)
        first += row["num_entities"]
    assert first == len(batch["entity_offsets"])
    assert askers == sorted(askers) and len(set(askers)) == len(askers)
    for document, row in enumerate(rows):  # every document that can ask does
        usable = [
            fact
            for fact in _facts(row, used=True)
            if all(
                _first_span(row, entity)[1]
                <= max_length - 2 - len(NAMES[fact[2]]) - np.subtract(*_first_span(row, fact[0])[1::-1])
                for entity in fact[:2]
            )
        ]
        assert (document in askers) == bool(usable)


@pytest.mark.parametrize("max_length, asks", [(42, True), (41, False)])
def test_a_fact_whose_tail_the_prefix_pushes_out_is_no_query(max_length, asks):
    mentions = {"mention_start": [1, 36], "mention_end": [2, 38], "mention_entity": [0, 1]}
    fact = {"head": [0], "tail": [1], "relation": [2], "weight": [1.0]}
    row = {**random_row(0, num_entities=2, length=40), **mentions, **fact}  # the prefix has 3 tokens: 38 + 3 < 42
    assert len(_collator(max_length=max_length)([row])["queries"]) == asks


def test_every_usable_fact_may_become_the_query():
    row = {**random_row(5, num_entities=5, num_facts=4), "weight": np.array([0.5, 1.0, np.nan, 0.0], np.float32)}
    collator = _collator()
    asked = []
    for epoch in range(300):
        collator.epoch.set(epoch)
        batch = collator([row])
        (relation, _, _), *_ = _queries([row], batch)
        asked.append((batch["queries"].item() - 5, batch["positives"].item() - 5, relation))
    facts = [fact[:3] for fact in _facts(row, used=True)]
    assert set(asked) == set(facts)
    assert all(abs(asked.count(fact) / 300 - 1 / 3) < 0.1 for fact in facts)


def _protected_slowly(rows, batch):
    ids = _original_ids(batch)
    protected = torch.isin(ids, torch.tensor([0, 1, 2, 3, 4])) | ~batch["attention_mask"].bool()
    for i, row in enumerate(rows):
        for start, end, _ in _spans(row):
            protected[i, start:end] = True
    texts = [row["input_ids"] for row in rows]
    for i, (relation, name, text) in enumerate(_queries(rows, batch), start=len(rows)):
        prefix = len(NAMES[relation]) + len(name) + 1
        protected[i, : 1 + prefix] = True
        (document,) = (d for d, ids in enumerate(texts) if ids[1 : len(text)] == text[:-1])
        for start, end, _ in _spans(rows[document]):
            if end <= len(text):
                protected[i, start + prefix : end + prefix] = True
    return protected


def test_masked_tokens():
    rows = _weighted([random_row(seed, length=90, max_mentions=2) for seed in range(300)])
    batch = _collator(max_length=110)(rows)
    masked, labels = batch["masked"], batch["masked_labels"]
    protected = _protected_slowly(rows, batch)
    assert not (masked & protected).any()
    assert (batch["input_ids"] == _original_ids(batch))[~masked].all()
    originals = [row["input_ids"][at] for i, row in enumerate(rows) for at in masked[i].nonzero()[:, 0]]
    assert (
        labels[: len(originals)].tolist() == originals
    )  # relation rows come first; entity rows: see test_entity_rows
    free = (~protected).sum().item()
    assert free > 20_000
    assert abs(masked.sum().item() / free - 0.15) < 0.008
    shown = batch["input_ids"][masked]
    assert abs((shown == MASK).float().mean() - 0.8) < 0.025
    assert abs((shown == labels).float().mean() - 0.1) < 0.02
    random = shown[(shown != MASK) & (shown != labels)]
    assert abs(len(random) / len(labels) - 0.1) < 0.02
    assert random.min() < VOCABULARY * 0.05 and random.max() > VOCABULARY * 0.95 and random.max() < VOCABULARY
    assert abs(random.float().mean() / VOCABULARY - 0.5) < 0.05


def test_mask_share_is_a_setting():
    rows = _weighted([random_row(seed, length=90) for seed in range(20)])
    assert not _collator(mask_share=0.0)(rows)["masked"].any()
    everything = _collator(mask_share=1.0)(rows)
    assert (everything["masked"] == ~_protected_slowly(rows, everything)).all()


def _draws(rows, batch):
    """Everything random about each document that must not depend on its batch."""
    width = batch["attention_mask"].sum(1).tolist()
    draws = {}
    for i, (row, (_, na)) in enumerate(zip(rows, _instances(rows, batch), strict=True)):
        draws[row["key"]] = [na, batch["input_ids"][i, : width[i]].tolist()]
    texts = {tuple(row["input_ids"][1:]): row["key"] for row in rows}
    for i, (relation, name, text) in enumerate(_queries(rows, batch), start=len(rows)):
        draws[texts[tuple(text)]] += [relation, name, batch["input_ids"][i, : width[i]].tolist()]
    return draws


def test_draws_depend_on_document_seed_and_epoch_alone():
    collator = _collator(na_pairs=3, seed=1)
    together = _draws(ROWS, collator(ROWS))
    for row in ROWS:
        assert _draws([row], collator([row])) == {row["key"]: together[row["key"]]}
    backwards = _draws(ROWS[::-1], collator(ROWS[::-1]))
    assert backwards == together
    other_seed = _draws(ROWS, _collator(na_pairs=3, seed=2)(ROWS))
    collator.epoch.set(1)
    later = _draws(ROWS, collator(ROWS))
    for part in (0, 1):  # NA pairs, masked tokens
        for other in (other_seed, later):
            assert [draw[part] for draw in other.values()] != [draw[part] for draw in together.values()]


def test_relation_and_entity_row_of_a_document_are_masked_differently():
    rows = _weighted([random_row(3, length=90)])
    batch = _collator(max_length=110, mask_share=0.5)(rows)
    free = ~_protected_slowly(rows, batch).any(0)
    relation_row, entity_row = batch["masked"][:, free]
    assert len(relation_row) > 30 and not torch.equal(relation_row, entity_row)


def test_documents_alike_in_all_but_their_key_draw_differently():
    row = _weighted([random_row(3, length=90)])[0]
    rows = [{**row, "key": key} for key in range(6)]
    batch = _collator(na_pairs=3)(rows)
    assert len({tuple(na) for _, na in _instances(rows, batch)}) > 1
    assert len({tuple(masked) for masked in batch["masked"][:6].tolist()}) == 6
    assert len({tuple(name) for _, name, _ in _queries(rows, batch)}) > 1


def _named_contrast(rows, batch):
    """The two masks as sets of ((document key, head, tail, weight), the same) pairs."""
    names = []
    base = _bases(rows)
    for (head, tail), weight in zip(batch["pairs"].tolist(), batch["weights"].tolist(), strict=True):
        document = next(d for d, row in enumerate(rows) if base[d] <= head < base[d] + row["num_entities"])
        names.append((rows[document]["key"], head - base[document], tail - base[document], weight))
    contrast = Contrast.of(torch.zeros(len(names), 2), [batch], max_negatives=4)
    anchors = contrast.anchors.tolist()
    masks = (contrast.positive_mask, contrast.negative_mask)
    return [{(names[anchors[a]], names[b]) for a, b in mask.nonzero().tolist()} for mask in masks]


def test_the_order_of_documents_changes_no_contrast():
    collator = _collator()
    original = _named_contrast(ROWS, collator(ROWS))
    assert all(original)
    assert _named_contrast(ROWS[::-1], collator(ROWS[::-1])) == original
    collator.epoch.set(1)
    assert _named_contrast(ROWS, collator(ROWS)) != original


def test_workers_give_the_same_batches():
    collator = _collator()
    batches = [list(DataLoader(ROWS, batch_size=5, collate_fn=collator, num_workers=workers)) for workers in (0, 2)]
    for ours, theirs in zip(*batches, strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(theirs[name])), name


def test_without_facts():
    """A batch whose documents have no fact, only dropped ones, no entity."""
    bare = {**random_row(1, num_facts=0), "weight": []}
    dropped = {**random_row(2), "weight": [float("nan")] * 4}
    empty = {**random_row(3, num_entities=0), "weight": []}
    batch = _collator(na_pairs=0)([bare, dropped, empty])
    assert len(batch["input_ids"]) == 3 and batch["learned"] == 0
    assert batch["pairs"].shape == (0, 2) and batch["weights"].shape == (0,)
    assert batch["relation"].shape == batch["pair"].shape == batch["instance_key"].shape == (0,)
    assert batch["queries"].shape == batch["positives"].shape == (0,)
    assert batch["candidate_mask"].shape == (0, 10)
    batch = _collator()([bare, dropped, empty])
    assert len(batch["pairs"]) > 0 and not batch["relation"].any()
    assert (batch["weights"] == 0.5).all()


RELATIONS = ["NA", "born in", "located in", "capital of", "died in"]


@pytest.fixture(params=["bert", "roberta"])
def tokenizer(request):
    return request.getfixturevalue(f"{request.param}_tokenizer")


def _letters(tokenizer, ids):
    """The words run together, without special tokens and markers."""
    tokens = tokenizer.convert_ids_to_tokens([number for number in ids if number not in tokenizer.all_special_ids])
    return "".join(tokens).replace("Ġ", "").replace("##", "").replace("*", "").lower()


@pytest.mark.parametrize("entity_markers", ["none", "asterisk"])
def test_real_documents(tokenizer, entity_markers, ada, curie):
    label2id = {name: i for i, name in enumerate(RELATIONS)}
    columns = DocumentEncoder(tokenizer, label2id, 128, entity_markers).encode([ada, curie])
    rows = [{name: values[i] for name, values in columns.items()} for i in range(2)]
    rows = [{**row, "weight": [1.0] * len(row["head"])} for row in rows]
    collator = PretrainCollator.for_tokenizer(tokenizer, RELATIONS, max_length=128, mask_share=1.0)
    mentions = "adalovelacelondonenglandlovelacecharlesbabbage"
    asked = set()
    for epoch in range(30):
        collator.epoch.set(epoch)
        batch = collator(rows)
        ids, masked = _original_ids(batch), batch["masked"]
        assert len(ids) == 4 and batch["learned"] == 5
        assert _letters(tokenizer, ids[0][~masked[0]].tolist()) == mentions  # nothing else stays here
        prefixes = [tokens[: tokens.index(tokenizer.sep_token_id)] for tokens in ids[2:].tolist()]
        assert all(prefix[0] == tokenizer.cls_token_id for prefix in prefixes)
        prefixes = [_letters(tokenizer, prefix) for prefix in prefixes]
        assert _letters(tokenizer, ids[2][~masked[2]].tolist()) == prefixes[0] + mentions
        asked |= {("Ada", prefixes[0]), ("Curie", prefixes[1])}
    assert asked == {
        ("Ada", "borninadalovelace"),
        ("Ada", "locatedinlondon"),
        ("Ada", "capitaloflondon"),
        ("Curie", "borninmariecurie"),
        ("Curie", "diedinmariecurie"),
    }
