"""The document schema of every stage, and the one validator that all readers go through.

A [`Document`] is what DocRED (Yao et al., ACL 2019) calls a document: tokenised sentences, entities with their
mentions, and relations between entities. A single sentence with two marked arguments is the same thing with two
entities and one judged pair, so every stage works on both.
"""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, permutations
from math import isfinite
from typing import Any

from finecl_hf.data.text import word_spans
from finecl_hf.errors import DocumentError
from finecl_hf.hashing import text_key


NA = "NA"  # "no relation": relation id 0 everywhere; pairs without a relation are NA implicitly
LONGEST_WORD = 10_000  # characters; a tokenizer takes ages for longer ones
MOST_ENTITIES = 1000  # of a document in which every pair is judged
# Names of "no relation" in corpora, in lower case with underscores
NO_RELATION = {"na", "n/a", "none", "null", "other", "no_relation", "norelation"}


@dataclass(slots=True)
class Mention:
    """One occurrence of an entity: words `start` to `end` (exclusive) of sentence `sent_id`."""

    name: str
    sent_id: int
    start: int
    end: int
    type: str = ""
    kb_id: str = ""  # identifier in a knowledge base, such as Wikidata's Q42, where the corpus carries one


@dataclass(slots=True)
class Fact:
    """The fact that `relation` holds from entity `head` to entity `tail`.

    Attributes:
        evidence: numbers of the sentences that show it.
        source: who says so, such as a language model; "" where that is not known.
        score: how sure the source is, in its own measure; None where it does not say.
    """

    head: int
    tail: int
    relation: str
    evidence: list[int] = field(default_factory=list)
    source: str = ""
    score: float | None = None


@dataclass(slots=True)
class Document:
    """Sentences, entities and relations.

    Attributes:
        title: unique within a corpus; the names of facts are built from it.
        sentences: words of each sentence.
        entities: mentions of each entity.
        relations: facts, silver or gold. Every other pair is NA.
        labelled: False where the source has no labels at all (a test file): to be predicted, never scored.
        pairs: judged (head, tail) pairs; None means every ordered pair of two entities.
        text: the text that the words were taken from, see [`~finecl_hf.data.spans.text_of`]; None where it is not
            known.
    """

    title: str
    sentences: list[list[str]]
    entities: list[list[Mention]]
    relations: list[Fact] = field(default_factory=list)
    labelled: bool = True
    pairs: list[tuple[int, int]] | None = None
    text: str | None = None

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Document:
        """Builds a document from DocRED's layout (`title`, `sents`, `vertexSet`, `labels`, and our optional `pairs`
        and `text`).

        Unknown keys are ignored, and so is a `text` in which the words do not stand; `labels` may be left out.

        Raises:
            DocumentError: naming the first field that breaks the schema.
        """
        return _parse(raw)

    def to_dict(self) -> dict[str, Any]:
        """The document in DocRED's layout; `Document.from_dict` turns it back into an equal document."""
        raw: dict[str, Any] = {"title": self.title, "sents": self.sentences}
        raw["vertexSet"] = [[_mention_to_dict(mention) for mention in entity] for entity in self.entities]
        if self.labelled:
            raw["labels"] = [_fact_to_dict(fact) for fact in self.relations]
        if self.pairs is not None:
            raw["pairs"] = [list(pair) for pair in self.pairs]
        if self.text is not None:
            raw["text"] = self.text
        return raw

    @classmethod
    def from_json(cls, text: str) -> Document:
        """Inverse of [`to_json`], for text that was validated before; use [`from_dict`] for anything else."""
        raw = json.loads(text)
        entities = [
            [Mention(m["name"], m["sent_id"], *m["pos"], m["type"], m.get("kb_id", "")) for m in entity]
            for entity in raw["vertexSet"]
        ]
        relations = [
            Fact(fact["h"], fact["t"], fact["r"], fact["evidence"], fact.get("source", ""), fact.get("score"))
            for fact in raw.get("labels", ())
        ]
        pairs = [tuple(pair) for pair in raw["pairs"]] if "pairs" in raw else None
        return cls(raw["title"], raw["sents"], entities, relations, "labels" in raw, pairs, raw.get("text"))

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False, separators=(",", ":"))

    @property
    def judged_pairs(self) -> list[tuple[int, int]]:
        """The pairs that a model classifies, in a fixed order: head by head, then tail."""
        return self.pairs if self.pairs is not None else list(permutations(range(len(self.entities)), 2))

    @property
    def is_sentence(self) -> bool:
        """Whether this is a single-label sentence: exactly one judged pair."""
        return self.pairs is not None and len(self.pairs) == 1

    @property
    def label(self) -> str:
        """Relation of a sentence's only judged pair."""
        return self.relations[0].relation if self.relations else NA

    @property
    def key(self) -> int:
        """A signed 64-bit hash of the title: the name of its features, and the seed of all draws for it."""
        return text_key(self.title)

    def instance_id(self, fact: Fact) -> str:
        """Stable name of a fact: the same in any order or sharding of the corpus."""
        return fact_id(self.title, fact.head, fact.tail, fact.relation)

    def fact_key(self, fact: Fact) -> int:
        """The fact's name as a signed 64-bit number: what features, batches and the learning order find it by.

        Among 100 million facts, the odds that any two share one are 1 to 3,700.
        """
        return text_key(self.instance_id(fact))

    def types_of(self, fact: Fact) -> tuple[str, str]:
        """The types of a fact's head and tail: those of their first mentions."""
        return self.entities[fact.head][0].type, self.entities[fact.tail][0].type

    @property
    def sentence_starts(self) -> list[int]:
        """(S + 1,) first word of each sentence, counted over the document, and the number of all words."""
        return list(accumulate(map(len, self.sentences), initial=0))

    def longest_name(self, entity: int) -> str:
        """What a person is shown for an entity."""
        return max(self.entity_names(entity), key=len)

    def entity_names(self, entity: int) -> list[str]:
        return [mention.name for mention in self.entities[entity]]

    def mention_text(self, mention: Mention) -> str:
        return " ".join(self.sentences[mention.sent_id][mention.start : mention.end])


MOST_TYPES = 200  # of entities, that a model tells apart


def entity_types(documents: Iterable[Document]) -> list[str]:
    """The entity types of a corpus, sorted; the most frequent ones where there are very many."""
    counts = Counter(entity[0].type for document in documents for entity in document.entities)
    counts.pop("", None)
    frequent = sorted(counts, key=lambda entity_type: (-counts[entity_type], entity_type))
    return sorted(frequent[:MOST_TYPES])


def means_no_relation(name: str) -> bool:
    """Whether a label is one of the names that corpora give to "no relation"."""
    return name.strip().lower().replace(" ", "_").replace("-", "_") in NO_RELATION


def escaped_relation(relation: str) -> str:
    """A relation as it stands in a fact's id: without `#`, so that no two facts share one, whatever their titles."""
    return relation.replace("%", "%25").replace("#", "%23") if "#" in relation or "%" in relation else relation


def fact_id(title: str, head: int, tail: int, relation: str) -> str:
    """[`Document.instance_id`] where the document is not at hand."""
    return f"{title}#{head}#{tail}#{escaped_relation(relation)}"


def relation_of_id(instance_id: str) -> str:
    """The relation in a fact's id."""
    return instance_id.rpartition("#")[2].replace("%23", "#").replace("%25", "%")


def _mention_to_dict(mention: Mention) -> dict[str, Any]:
    raw = {"name": mention.name, "sent_id": mention.sent_id, "pos": [mention.start, mention.end], "type": mention.type}
    return {**raw, "kb_id": mention.kb_id} if mention.kb_id else raw


def _fact_to_dict(fact: Fact) -> dict[str, Any]:
    raw = {"h": fact.head, "t": fact.tail, "r": fact.relation, "evidence": fact.evidence}
    if fact.source:
        raw["source"] = fact.source
    if fact.score is not None:
        raw["score"] = fact.score
    return raw


def _parse(raw: Any) -> Document:
    if not isinstance(raw, dict):
        raise DocumentError(f"expected an object with title, sents and vertexSet, found {_kind(raw)}.")
    if raw and not raw.keys() & {"title", "sents", "vertexSet"}:
        raise DocumentError("none of title, sents and vertexSet is there: this is no document, but something else.")
    title = _required(raw, "title")
    if isinstance(title, int):  # some exports write a numeric title without quotes
        title = str(title)
    if not isinstance(title, str) or not title:
        raise DocumentError(f"expected a non-empty string, found {_kind(title)}.", "title")
    _check_encodable(title, "title")
    sentences = _required(raw, "sents")
    if not isinstance(sentences, list) or not all(_is_words(sentence) for sentence in sentences):
        raise DocumentError("expected a list of sentences, each a list of words (strings).", "sents")
    for i, sentence in enumerate(sentences):
        text = "".join(sentence)
        _check_encodable(text, f"sents[{i}]")
        if len(text) > LONGEST_WORD and max(map(len, sentence)) > LONGEST_WORD:
            raise DocumentError(
                f"a word has more than {LONGEST_WORD:,} characters; split the text into words.", f"sents[{i}]"
            )
    vertex_set = _required(raw, "vertexSet")
    if not isinstance(vertex_set, list):
        raise DocumentError(f"expected a list of entities, found {_kind(vertex_set)}.", "vertexSet")
    if len(vertex_set) > MOST_ENTITIES and raw.get("pairs") is None:
        raise DocumentError(
            f"{len(vertex_set):,} entities make {len(vertex_set) * (len(vertex_set) - 1):,} pairs; split the "
            "document, or list the pairs that are to be judged as `pairs`.",
            "vertexSet",
        )
    entities = [_parse_entity(entity, f"vertexSet[{i}]", sentences) for i, entity in enumerate(vertex_set)]
    labels = raw.get("labels")
    relations = _parse_labels(labels, len(entities), len(sentences)) if labels is not None else []
    pairs = _parse_pairs(raw.get("pairs"), len(entities))
    if pairs is not None:
        _check_labels_are_judged(relations, set(pairs))
    text = raw.get("text")
    if not isinstance(text, str) or word_spans(text, sentences) is None:
        text = None
    return Document(title, sentences, entities, relations, labels is not None, pairs, text)


def _parse_entity(entity: Any, where: str, sentences: list[list[str]]) -> list[Mention]:
    if not isinstance(entity, list) or not entity:
        raise DocumentError(f"expected a non-empty list of mentions, found {_kind(entity)}.", where)
    return [_parse_mention(mention, f"{where}[{i}]", sentences) for i, mention in enumerate(entity)]


def _parse_mention(raw: Any, where: str, sentences: list[list[str]]) -> Mention:
    if not isinstance(raw, dict):
        raise DocumentError(f"expected an object with name, sent_id and pos, found {_kind(raw)}.", where)
    sent_id = _integer(_required(raw, "sent_id", where), f"{where}.sent_id")
    if not 0 <= sent_id < len(sentences):
        raise DocumentError(
            f"sentence {sent_id} does not exist; the document has {len(sentences)}, numbered from 0.",
            f"{where}.sent_id",
        )
    position = _required(raw, "pos", where)
    if not isinstance(position, (list, tuple)) or len(position) != 2:
        raise DocumentError(f"expected [start, end), found {_kind(position)}.", f"{where}.pos")
    start, end = (_integer(bound, f"{where}.pos") for bound in position)
    if start >= end:
        raise DocumentError(
            f"the span [{start}, {end}) is {'empty' if start == end else 'reversed'}; "
            "give [start, end) with end one past the last word.",
            f"{where}.pos",
        )
    if start < 0 or end > len(sentences[sent_id]):
        raise DocumentError(
            f"the span [{start}, {end}) leaves sentence {sent_id}, which has {len(sentences[sent_id])} words; "
            "positions count words of the sentence, not of the document.",
            f"{where}.pos",
        )
    name = raw.get("name")
    if name is None:
        name = " ".join(sentences[sent_id][start:end])
    if not isinstance(name, str):
        raise DocumentError(f"expected a string, found {_kind(name)}.", f"{where}.name")
    mention = Mention(name, sent_id, start, end, str(raw.get("type") or ""), str(raw.get("kb_id") or ""))
    _check_encodable(mention.name + mention.type + mention.kb_id, where)
    return mention


def _parse_labels(labels: Any, num_entities: int, num_sentences: int) -> list[Fact]:
    if isinstance(labels, dict):  # column layout of thunlp/docred on the Hub: a struct of lists
        labels = _rows_of_struct(labels)
    if not isinstance(labels, list):
        raise DocumentError(f"expected a list of labels, found {_kind(labels)}.", "labels")
    facts: dict[tuple[int, int, str], Fact] = {}
    for i, label in enumerate(labels):
        fact = _parse_label(label, f"labels[{i}]", num_entities, num_sentences)
        facts.setdefault((fact.head, fact.tail, fact.relation), fact)  # a label written twice is one fact
    return list(facts.values())


def _rows_of_struct(labels: dict[str, list]) -> list[dict[str, Any]]:
    for column in ("head", "tail", "relation_id"):
        if not isinstance(labels.get(column), list):
            raise DocumentError(f"the struct of lists lacks the list `{column}`.", "labels")
    columns = [labels["head"], labels["tail"], labels["relation_id"]]
    evidence = labels.get("evidence")
    if evidence is not None and not isinstance(evidence, list):
        raise DocumentError(
            f"expected a list of lists of sentence numbers, found {_kind(evidence)}.", "labels.evidence"
        )
    columns.append(evidence if evidence is not None else [[] for _ in labels["head"]])
    if len({len(column) for column in columns}) != 1:
        raise DocumentError("the lists head, tail, relation_id and evidence differ in length.", "labels")
    return [dict(zip(("h", "t", "r", "evidence"), row, strict=True)) for row in zip(*columns, strict=True)]


def _parse_label(label: Any, where: str, num_entities: int, num_sentences: int) -> Fact:
    if not isinstance(label, dict):
        raise DocumentError(f"expected an object with h, t and r, found {_kind(label)}.", where)
    head, tail = (_integer(_required(label, key, where), f"{where}.{key}") for key in "ht")
    for key, entity in (("h", head), ("t", tail)):
        if not 0 <= entity < num_entities:
            raise DocumentError(
                f"entity {entity} does not exist; the document has {num_entities}, numbered from 0.", f"{where}.{key}"
            )
    if head == tail:
        raise DocumentError(f"head and tail are the same entity ({head}); drop the label.", where)
    relation = _required(label, "r", where)
    if not isinstance(relation, str) or not relation.strip():
        raise DocumentError(f"expected a relation name, found {_kind(relation)}.", f"{where}.r")
    _check_encodable(relation, f"{where}.r")
    relation = relation.strip()
    if means_no_relation(relation):
        raise DocumentError(
            f'"{relation}" is no relation; leave pairs without a relation out of labels.', f"{where}.r"
        )
    evidence = label.get("evidence")
    evidence = [] if evidence is None else evidence
    if not isinstance(evidence, (list, tuple)):
        raise DocumentError(f"expected a list of sentence numbers, found {_kind(evidence)}.", f"{where}.evidence")
    evidence = [_integer(sentence, f"{where}.evidence") for sentence in evidence]
    if outside := [sentence for sentence in evidence if not 0 <= sentence < num_sentences]:
        raise DocumentError(
            f"sentence {outside[0]} does not exist; the document has {num_sentences}.", f"{where}.evidence"
        )
    source, score = label.get("source") or "", label.get("score")
    if not isinstance(source, str):
        raise DocumentError(f"expected the name of a source, found {_kind(source)}.", f"{where}.source")
    _check_encodable(source, f"{where}.source")
    if score is not None and (isinstance(score, bool) or not isinstance(score, (int, float)) or not isfinite(score)):
        raise DocumentError(f"expected a finite number, found {_kind(score)}.", f"{where}.score")
    return Fact(head, tail, relation, evidence, source, None if score is None else float(score))


def _parse_pairs(pairs: Any, num_entities: int) -> list[tuple[int, int]] | None:
    if pairs is None:
        return None
    if not isinstance(pairs, list):
        raise DocumentError(f"expected a list of [head, tail], found {_kind(pairs)}.", "pairs")
    parsed = []
    for i, pair in enumerate(pairs):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise DocumentError(f"expected [head, tail], found {_kind(pair)}.", f"pairs[{i}]")
        head, tail = (_integer(entity, f"pairs[{i}]") for entity in pair)
        if head == tail or not (0 <= head < num_entities and 0 <= tail < num_entities):
            raise DocumentError(
                f"[{head}, {tail}] is not a pair of two of the {num_entities} entities.", f"pairs[{i}]"
            )
        parsed.append((head, tail))
    return list(dict.fromkeys(parsed))


def _check_labels_are_judged(relations: list[Fact], judged: set[tuple[int, int]]) -> None:
    for fact in relations:
        if (fact.head, fact.tail) not in judged:
            raise DocumentError(
                f"the label {fact.relation} joins entities {fact.head} and {fact.tail}, which `pairs` does not list; "
                "add the pair or drop the label.",
                "labels",
            )


def _required(raw: dict[str, Any], key: str, where: str = "") -> Any:
    if key not in raw:
        raise DocumentError(f'the key "{key}" is missing.', where)
    return raw[key]


def _objects(raw: dict[str, Any], key: str, where: str = "", optional: bool = False) -> list[tuple[dict, str]]:
    """The objects that a list holds, each with its field; where it is optional, none for a list that is not there."""
    field = f"{where}.{key}" if where else key
    values = raw.get(key) if optional else _required(raw, key, where)
    if values is None and optional:
        return []
    if not isinstance(values, list):
        raise DocumentError(f"expected a list of objects, found {_kind(values)}.", field)
    for i, value in enumerate(values):
        if not isinstance(value, dict):
            raise DocumentError(f"expected an object, found {_kind(value)}.", f"{field}[{i}]")
    return [(value, f"{field}[{i}]") for i, value in enumerate(values)]


def _integer(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise DocumentError(f"expected an integer, found {_kind(value)}.", where)
    try:  # some releases of DocRED write sent_id as a string
        return int(value)
    except ValueError:
        raise DocumentError(f"expected an integer, found {_kind(value)}.", where) from None


def _is_words(sentence: Any) -> bool:
    return isinstance(sentence, list) and all(isinstance(word, str) for word in sentence)


def _check_encodable(text: str, where: str) -> None:
    """JSON can spell half a surrogate pair; tokenizers, Arrow and UTF-8 files cannot hold it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DocumentError(
            f"the text holds \\u{ord(text[error.start]):04x}, half of a character; remove or restore it.", where
        ) from None


def _kind(value: Any) -> str:
    """The value as it should stand in an error message: short, and with its type."""
    if value is None or isinstance(value, (dict, list)) and not value:
        return {type(None): "null", dict: "an empty object", list: "an empty list"}[type(value)]
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        text = "of great depth"
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


@contextmanager
def gc_paused() -> Iterator[None]:
    """Holds Python's garbage collector while a batch is parsed: thousands of new objects make it look through all that
    there are again and again, and none of them is in a cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
