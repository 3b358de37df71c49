"""A made-up corpus whose label noise is real in kind and known in truth, for examples, tests and measurements.

A random world of people, places, organisations and works holds facts. Documents about it state some of these facts in
plain English and mention other entities together without stating how they are related. Silver labels are the world's
knowledge base projected on the documents ([`project`]), so that they are wrong exactly where distant
supervision is wrong: the document names both entities but does not say that the relation holds. Nothing but the text
tells right labels from wrong ones.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from random import Random

from finecl_hf.data.documents import Document, Fact, Mention
from finecl_hf.distant.knowledge_base import KnowledgeBase, project
from finecl_hf.synthetic.templates import (
    COMBINED_PATTERNS,
    DISTRACTORS,
    IMPLIED,
    NOMINALS,
    OPENINGS,
    PATTERNS,
    RELATION_NAMES,
    SYMMETRIC,
)
from finecl_hf.synthetic.world import Entity, Region, WorldFact, build_region


DOCUMENTS_PER_REGION = 12  # about one for each person of a region
TOPICS = {"person": 45, "company": 15, "university": 8, "book": 9, "film": 8, "city": 7, "country": 8}  # in percent
MIN_SENTENCES, MAX_SENTENCES, MAX_STATEMENTS = 4, 8, 7


@dataclass
class SyntheticCorpus:
    """What [`generate_corpus`] returns.

    Attributes:
        silver: documents with distantly supervised labels.
        truth: for the instance id of each silver fact, whether its document states it.
        silver_gold: the documents of `silver` with the facts that they do state: the oracle.
        gold_train, gold_validation, gold_test: documents with the facts that they state, about other entities.
        relation_names: relation id -> readable name.
    """

    silver: list[Document]
    truth: dict[str, bool]
    silver_gold: list[Document]
    gold_train: list[Document]
    gold_validation: list[Document]
    gold_test: list[Document]
    relation_names: dict[str, str] = field(default_factory=lambda: dict(RELATION_NAMES))

    def statistics(self) -> dict[str, float]:
        """Figures of the silver documents: sizes, and how wrong and how incomplete their labels are."""
        stated = sum(len(document.relations) for document in self.silver_gold)
        right = sum(self.truth.values())
        return {
            "documents": len(self.silver),
            "words_per_document": _mean(sum(map(len, document.sentences)) for document in self.silver),
            "sentences_per_document": _mean(len(document.sentences) for document in self.silver),
            "entities_per_document": _mean(len(document.entities) for document in self.silver),
            "silver_labels": len(self.truth),
            "wrong_share": 1 - right / max(len(self.truth), 1),
            "missed_share": 1 - right / max(stated, 1),
        }


def generate_corpus(
    num_documents: int = 600,
    num_train: int = 60,
    num_validation: int = 60,
    num_test: int = 100,
    seed: int = 0,
    unstated: float = 0.2,
    missing_facts: float = 0.1,
    wrong_facts: float = 0.03,
) -> SyntheticCorpus:
    """Generates a corpus; the same arguments give the same corpus, on any machine.

    The splits are about different regions of the world, so they share no entity but years and chance namesakes.

    Args:
        num_documents: silver documents.
        num_train, num_validation, num_test: documents of each gold split; they do not depend on `num_documents`.
        seed: another seed, another world.
        unstated: how likely a document leaves out a fact about two of its entities: the source of wrong labels.
            Documents are short, so that some facts (about 25 %) stay unsaid even at 0.
        missing_facts: share of the world's facts that the knowledge base lacks: the source of missed labels.
        wrong_facts: facts of the knowledge base that are wrong, as a share of the right ones.
    """
    taken: set[str] = set()  # names in use anywhere in the world
    titles: Counter[str] = Counter()

    def split(name: str, size: int) -> tuple[list[Region], list[Document]]:
        rng = Random(f"{seed}/{name}")
        regions = [build_region(rng, taken) for _ in range(-(-size // DOCUMENTS_PER_REGION))]
        return regions, [_write_document(regions[i % len(regions)], rng, unstated, titles) for i in range(size)]

    gold = {name: split(name, size)[1] for name, size in [("t", num_test), ("v", num_validation), ("g", num_train)]}
    regions, silver_gold = split("s", num_documents)
    knowledge_base = _knowledge_base(regions, Random(f"{seed}/kb"), missing_facts, wrong_facts)
    silver = project(silver_gold, knowledge_base)
    truth = {}
    for labelled, document in zip(silver_gold, silver, strict=True):
        stated = {labelled.instance_id(fact) for fact in labelled.relations}
        truth.update((document.instance_id(fact), document.instance_id(fact) in stated) for fact in document.relations)
    return SyntheticCorpus(silver, truth, silver_gold, gold["g"], gold["v"], gold["t"])


def write_corpus(corpus: SyntheticCorpus, folder: str | Path) -> None:
    """Writes silver.json, gold_train.json, gold_validation.json, gold_test.json, rel_info.json and truth.json."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        name: [document.to_dict() for document in getattr(corpus, name)]
        for name in ("silver", "gold_train", "gold_validation", "gold_test")
    }
    contents |= {"rel_info": corpus.relation_names, "truth": corpus.truth}
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _knowledge_base(regions: list[Region], rng: Random, missing: float, wrong: float) -> KnowledgeBase:
    knowledge_base = KnowledgeBase()
    for region in regions:
        for fact in region.facts:
            if rng.random() >= missing:
                _add(knowledge_base, fact)
            if rng.random() < wrong:  # another tail of the same kind and region: a slip that documents can fall for
                others = [e for e in region.entities if e.kind == fact.tail.kind and e not in (fact.head, fact.tail)]
                slip = WorldFact(fact.head, fact.relation, rng.choice(others)) if others else fact
                if slip not in region.facts:
                    _add(knowledge_base, slip)
    return knowledge_base


def _add(knowledge_base: KnowledgeBase, fact: WorldFact) -> None:
    for head, relation, tail in _labels(fact):
        # Full names and acronyms, as a real knowledge base has them: a surname alone identifies nobody.
        knowledge_base.add(head.aliases, relation, tail.aliases)


def _labels(fact: WorldFact) -> list[WorldFact]:
    """The fact as it is labelled: symmetric relations in both directions."""
    return [fact, WorldFact(fact.tail, fact.relation, fact.head)] if fact.relation in SYMMETRIC else [fact]


# A document is planned as sentences with slots, then ordered, then rendered to words.
@dataclass(eq=False)
class _Sentence:
    pattern: str
    slots: dict[str, Entity]
    facts: list[WorldFact] = field(default_factory=list)

    @property
    def subject(self) -> Entity:
        """The entity named first."""
        return self.slots[min(self.slots, key=lambda slot: self.pattern.index("{" + slot + "}"))]


def _write_document(region: Region, rng: Random, unstated: float, titles: Counter[str]) -> Document:
    topic = _choose_topic(region, rng)
    cast = _choose_cast(topic, region, rng)
    known = [fact for fact in region.facts if fact.head in cast and fact.tail in cast]
    stated = [fact for fact in known if rng.random() >= unstated]
    sentences = _state(rng.sample(stated, len(stated)), rng)[:MAX_STATEMENTS]
    stated = [fact for sentence in sentences for fact in sentence.facts]
    sentences += _distract(sentences, cast, [fact for fact in known if fact not in stated], rng)
    titles[topic.name] += 1
    title = topic.name if titles[topic.name] == 1 else f"{topic.name} ({titles[topic.name]})"
    return _Renderer(rng).render(title, _order(sentences[:MAX_SENTENCES], rng))


def _choose_topic(region: Region, rng: Random) -> Entity:
    kind = rng.choices(list(TOPICS), TOPICS.values())[0]
    return rng.choice([entity for entity in region.entities if entity.kind == kind])


def _choose_cast(topic: Entity, region: Region, rng: Random) -> list[Entity]:
    """The topic and 5 to 10 entities close to it: most of them its neighbours, some neighbours of those."""
    cast, size = [topic], rng.randint(6, 11)
    if topic.kind != "country" and rng.random() < 0.3:  # countries touch cities only, and would hardly ever turn up
        cast += [entity for entity in region.entities if entity.kind == "country"]
    while len(cast) < size:
        centre = topic if rng.random() < 0.6 else rng.choice(cast)
        neighbours = [entity for entity in region.neighbours[centre] if entity not in cast]
        # Once in a while somebody unrelated: a stranger at the dinner table.
        pool = neighbours if neighbours and rng.random() < 0.9 else [e for e in region.entities if e not in cast]
        cast.append(rng.choice(pool))
    return cast


def _state(facts: list[WorldFact], rng: Random) -> list[_Sentence]:
    """Sentences that state the facts, some of them two at once."""
    facts, sentences = list(facts), []
    while facts:
        first = facts.pop(0)
        combined = rng.random() < 0.5 and _combine(first, facts, rng)
        if combined:
            facts.remove(combined.facts[1])
            sentence = combined
        else:
            sentence = _Sentence(rng.choice(PATTERNS[first.relation]), {"h": first.head, "t": first.tail}, [first])
        sentence.facts += [
            WorldFact(f.head, IMPLIED[f.relation], f.tail) for f in sentence.facts if f.relation in IMPLIED
        ]
        facts = [fact for fact in facts if fact not in sentence.facts]
        sentences.append(sentence)
    return sentences


def _combine(first: WorldFact, facts: list[WorldFact], rng: Random) -> _Sentence | None:
    for pattern, (one, other) in rng.sample(COMBINED_PATTERNS, len(COMBINED_PATTERNS)):
        head, relation, tail = one.split()
        other_head, other_relation, other_tail = other.split()
        if first.relation != relation:
            continue
        slots = {head: first.head, tail: first.tail}
        for fact in facts:
            if fact.relation == other_relation and fact.head is slots[other_head] and fact.tail not in slots.values():
                return _Sentence(pattern, {**slots, other_tail: fact.tail}, [first, fact])
    return None


def _distract(
    sentences: list[_Sentence], cast: list[Entity], unstated: list[WorldFact], rng: Random
) -> list[_Sentence]:
    """Sentences that state nothing: for entities not mentioned yet, for related pairs, and to fill the document."""
    related = {frozenset((fact.head, fact.tail)) for fact in unstated}
    mentioned = [entity for sentence in sentences for entity in sentence.slots.values()]
    distractors = []
    for entity in cast:
        if entity in mentioned:
            continue
        partners = [other for other in cast if other is not entity]
        relatives = [other for other in partners if frozenset((entity, other)) in related]
        if relatives and rng.random() < 0.6:
            partners = relatives
        if sentence := _distractor(entity, rng.choice(partners), rng):
            distractors.append(sentence)
            mentioned += sentence.slots.values()
    for fact in unstated:
        if rng.random() < 0.25 and (sentence := _distractor(fact.head, fact.tail, rng)):
            distractors.append(sentence)
    pairs = rng.sample(list(permutations(cast, 2)), len(cast) * (len(cast) - 1))
    while len(sentences) + len(distractors) < MIN_SENTENCES and pairs:
        if sentence := _distractor(*pairs.pop(), rng):
            distractors.append(sentence)
    return distractors


def _distractor(one: Entity, other: Entity, rng: Random) -> _Sentence | None:
    for a, b in ((one, other), (other, one)):
        if patterns := DISTRACTORS.get((a.group, b.group)):
            return _Sentence(rng.choice(patterns), {"a": a, "b": b})
    return None


def _order(sentences: list[_Sentence], rng: Random) -> list[_Sentence]:
    """Sentences about the same subject mostly together, as a writer would, everything else by chance."""
    by_subject: dict[Entity, list[_Sentence]] = defaultdict(list)
    for sentence in rng.sample(sentences, len(sentences)):
        by_subject[sentence.subject].append(sentence)
    ordered = [sentence for group in by_subject.values() for sentence in group]
    for _ in range(len(ordered) // 3):
        ordered.insert(rng.randrange(len(ordered)), ordered.pop(rng.randrange(len(ordered))))
    return ordered


class _Renderer:
    """Turns planned sentences into words, mentions and evidence.

    Pronouns and phrases such as "the company" are not marked as mentions (DocRED marks names only), so that a fact
    stated with one joins a head and a tail of different sentences.
    """

    def __init__(self, rng: Random):
        self.rng = rng
        self.words: list[list[str]] = []
        self.mentions: dict[Entity, list[Mention]] = {}  # in order of first mention, which numbers the entities
        self.evidence: dict[WorldFact, set[int]] = {}

    def render(self, title: str, sentences: list[_Sentence]) -> Document:
        for sentence in sentences:
            self._render_sentence(sentence)
        index = {entity: i for i, entity in enumerate(self.mentions)}
        relations = [
            Fact(index[label.head], index[label.tail], label.relation, sorted(evidence))
            for fact, evidence in self.evidence.items()
            for label in _labels(fact)
        ]
        relations.sort(key=lambda fact: (fact.head, fact.tail, fact.relation))
        return Document(title, self.words, list(self.mentions.values()), relations)

    def _render_sentence(self, sentence: _Sentence) -> None:
        number = len(self.words)
        words = sentence.pattern.split()
        pronoun = self._pronoun(sentence)
        self.words.append([])
        if words[0].startswith("{") and self.rng.random() < 0.15:
            self.words[-1].extend(self.rng.choice(OPENINGS).split())
        evidence = {number}
        for i, word in enumerate(words):
            if i == 0 and pronoun:
                evidence.add(self.mentions[sentence.subject][-1].sent_id)
                possessive = words[1] == "'s"
                self.words[-1].extend(_possessive(pronoun).split() if possessive else pronoun.split())
            elif i == 1 and pronoun and word == "'s":
                continue
            elif word == "{spouse}":
                self.words[-1].append("wife" if sentence.slots["t"].female else "husband")
            elif word.startswith("{"):
                self._name(sentence.slots[word[1:-1]], number)
            else:
                self.words[-1].append(word)
        first = self.words[-1][0]
        self.words[-1][0] = first[0].upper() + first[1:]
        for fact in sentence.facts:
            self.evidence.setdefault(fact, set()).update(evidence)

    def _pronoun(self, sentence: _Sentence) -> str | None:
        """A pronoun or nominal for the first word, where only one entity of the sentence before can be meant."""
        subject = sentence.subject
        if not self.words or not sentence.pattern.startswith("{") or self.rng.random() > 0.6:
            return None
        before = [e for e, found in self.mentions.items() if found[-1].sent_id == len(self.words) - 1]
        rivals = [e for e in before if e.group == subject.group and e.female == subject.female]
        if rivals != [subject]:
            return None
        if subject.kind == "person":
            return "she" if subject.female else "he"
        return self.rng.choice(NOMINALS[subject.kind]) if subject.kind in NOMINALS else None

    def _name(self, entity: Entity, sentence: int) -> None:
        """Writes a name: the full one first, later any."""
        if entity not in self.mentions:
            self._mention(entity, entity.name, sentence)
            if entity.acronym and self.rng.random() < 0.4:
                self.words[-1].append("(")
                self._mention(entity, entity.acronym, sentence)
                self.words[-1].append(")")
        else:
            self._mention(entity, self.rng.choice([entity.name, *entity.short_names]), sentence)

    def _mention(self, entity: Entity, name: str, sentence: int) -> None:
        words = self.words[-1]
        tokens = name.split()
        mention = Mention(name, sentence, len(words), len(words) + len(tokens), entity.type)
        self.mentions.setdefault(entity, []).append(mention)
        words.extend(tokens)


def _possessive(pronoun: str) -> str:
    return {"he": "his", "she": "her", "it": "its"}.get(pronoun, f"{pronoun} 's")


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / max(len(values), 1)
