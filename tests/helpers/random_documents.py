"""Documents with text, of everything that a format may have to hold."""

import random
from dataclasses import replace

from finecl_hf.data.documents import Document
from finecl_hf.data.spans import Span, document_of_text


WORDS = "Ada Velora met Graz the Élan river 北京 state-of-the-art e.g. 3.5 Dr. “old” (new) a_b O'Neil x".split()
RELATIONS = ["born in", "part-of", "P31", "Cause-Effect(e1,e2)"]


def random_document(seed, sentence=False):
    """A document of a few sentences, or one sentence with a judged pair; entities and mentions in the text's order."""
    rng = random.Random(seed)
    count = 1 if sentence else rng.randint(1, 4)
    pieces = [" ".join(rng.choices(WORDS, k=rng.randint(4, 9))) + rng.choice([" ends.", " ends!", " ends"])
              for _ in range(count)]  # fmt: skip
    text = rng.choice([" ", "  "]).join(pieces)
    places = [(start, start + len(word)) for start, word in _words(text)]
    number = 2 if sentence else rng.randint(0, 4)
    size = 1 if sentence else rng.randint(1, 2)
    spans = rng.sample(places, min(len(places), number * size))
    entities = [sorted(spans[i::number]) for i in range(number)]
    entities = [[Span(*span, f"T{i % 2}", f"Q{seed}{i}") for span in spans] for i, spans in
                enumerate(sorted(entities))]  # fmt: skip
    pairs = [(h, t) for h in range(number) for t in range(number) if h != t]
    rng.shuffle(pairs)
    judged = [[0, 1]] if sentence else None
    said_by = {"source": "model", "score": 0.5}
    labels = [
        {"h": h, "t": t, "r": rng.choice(RELATIONS), "evidence": [0] if rng.random() < 0.5 else [], **said_by}
        for h, t in sorted(judged or pairs[: rng.randint(0, 4)])
    ]
    if sentence and rng.random() < 0.3:
        labels = []
    sentences = None if not sentence else [(0, len(text))]
    raw = document_of_text(f"{seed}", text, entities, labels, judged, sentences=sentences)
    return Document.from_dict(raw)


def only(document, holds):
    """The document without what a format has no place for (`formats.parts`); None where nothing sensible is left."""
    if "sentences" not in holds and len(document.sentences) > 1:
        return None
    entities = [
        [
            replace(
                mention,
                type=mention.type if "types" in holds else "",
                kb_id=mention.kb_id if "kb_ids" in holds else "",
                name=mention.name if "text" in holds else document.mention_text(mention),
            )
            for mention in (entity if "mentions" in holds else entity[:1])
        ]
        for entity in document.entities
    ]
    facts = [
        replace(
            fact,
            evidence=fact.evidence if "evidence" in holds else [],
            source=fact.source if "source" in holds else "",
            score=fact.score if "score" in holds else None,
        )
        for fact in document.relations
    ]
    return replace(
        document, entities=entities, relations=facts, pairs=document.pairs if "pairs" in holds else None,
        text=document.text if "text" in holds else None,
    )  # fmt: skip


def _words(text):
    at = 0
    for word in text.split():
        at = text.index(word, at)
        yield at, word
        at += len(word)
