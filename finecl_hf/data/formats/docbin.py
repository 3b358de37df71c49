"""spaCy's documents, and files of them (DocBin, `.spacy`). spaCy is needed for these only.

Mentions are `doc.ents`, or `doc.spans["sc"]` where there are none; relations are those of spaCy's tutorial,
`doc._.rel = {(head's first token, tail's first token): {label: score}}`, or a list of them, `doc._.relations`.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from finecl_hf.data.documents import Document, _kind, gc_paused
from finecl_hf.data.files import replacing
from finecl_hf.data.formats import Format
from finecl_hf.data.relating import Related, labels_between
from finecl_hf.data.spans import text_of
from finecl_hf.data.text import split_sentences
from finecl_hf.data.unpacking import most_bytes, unpacks_too_far
from finecl_hf.errors import DocumentError


SPANS = "sc"  # the group of spans that spaCy's span categoriser fills
LIKELY = 0.5  # scores from which a relation is one, as in spaCy's tutorial
_OURS = "finecl_hf"  # in `doc.user_data`: what spaCy has no place for
_UNLINKED = {"", "NIL"}  # identifiers that spaCy gives to mentions without one
_HEADS, _TAILS = ("head", "head_span", "subject", "h"), ("tail", "tail_span", "object", "t")
_NAMES = ("relation", "label", "type", "r")


def document_of_spacy(doc: Any, title: str = "doc") -> Document:
    """A document with the tokens of a spaCy `Doc` as its words, but for white space.

    Entities are mentions with the same `kb_id_` or `ent_id_`; a mention without either is one of its own. Sentences
    are spaCy's, or are found by their marks. The document is unlabelled where neither `doc._.rel` nor
    `doc._.relations` is set.

    Args:
        doc: a `spacy.tokens.Doc`.
        title: for documents whose `user_data` has no `title`.

    Raises:
        DocumentError: naming what is wrong.
    """
    return Document.from_dict(_docred(doc, title))


def _docred(doc: Any, title: str) -> dict[str, Any]:
    spans = list(doc.ents) or list(doc.spans.get(SPANS, ()))
    kept = _Kept(doc.user_data.get(_OURS), spans)
    spans = [span for span in spans if any(map(kept.is_word, span))]
    title = kept.title or doc.user_data.get("title") or title
    place_of, sentences = _sentences(doc, spans, kept)
    mentions = [_mention(span, place_of) for span in spans]
    for number, name in kept.names.items():
        mentions[number]["name"] = name
    entities = kept.entities or _by_identifier(mentions)
    raw: dict[str, Any] = {
        "title": title,
        "sents": sentences,
        "vertexSet": [[mentions[number] for number in entity] for entity in entities],
    }
    if kept.has_text and not doc.has_unknown_spaces:
        raw["text"] = doc.text
    raw.update(_labels(doc, str(title), spans, entities, kept))
    return raw


def _sentences(doc: Any, spans: list[Any], kept: _Kept) -> tuple[dict[int, tuple[int, int]], list[list[str]]]:
    """The sentence of each token and its place there, and the words of each sentence; none ends inside a span."""
    tokens = [token for token in doc if kept.is_word(token)]
    if doc.has_annotation("SENT_START"):
        inside = {number for span in spans for number in range(span.start + 1, span.end)}
        pending, first = True, []
        for token in doc:  # a sentence may begin with white space
            pending = (pending or bool(token.is_sent_start)) and token.i not in inside
            if kept.is_word(token) and (pending or not first):
                first.append(token.idx)
                pending = False
    else:
        first = [start for start, _ in split_sentences(doc.text, [(span.start_char, span.end_char) for span in spans])]
    sentences: list[list[str]] = [[] for _ in first]
    place_of = {}
    for token in tokens:
        number = max(bisect_right(first, token.idx) - 1, 0)
        place_of[token.i] = number, len(sentences[number])
        sentences[number].append(token.text)
    return place_of, sentences


def _mention(span: Any, place_of: dict[int, tuple[int, int]]) -> dict[str, Any]:
    places = [place_of[number] for number in range(span.start, span.end) if number in place_of]
    sent_id, start = places[0]
    kb_id = next((name for name in (span.kb_id_, span.id_) if name not in _UNLINKED), "")
    return {
        "name": span.text.strip(),
        "sent_id": sent_id,
        "pos": [start, places[-1][1] + 1],
        "type": span.label_,
        "kb_id": kb_id,
    }


def _by_identifier(mentions: list[dict[str, Any]]) -> list[list[int]]:
    entities: dict[Any, list[int]] = {}
    for number, mention in enumerate(mentions):
        entities.setdefault(mention["kb_id"] or number, []).append(number)
    return list(entities.values())


class _Kept:
    """What [`write`] kept in a Doc's user data, as far as it still fits its spans.

    Attributes:
        title: of the document; "" where nothing was kept.
        has_text: whether the document came with its text.
        entities: numbers of the mentions of each; None where they do not fit.
        names: of mentions that are spelt otherwise in the text.
        facts: labels in DocRED's layout; None for an unlabelled document.
        pairs: that are judged.
    """

    def __init__(self, kept: Any, spans: list[Any]):
        kept = kept if isinstance(kept, dict) else {}
        self._blanks = _numbers(kept.get("blanks"))
        self.title = kept["title"] if isinstance(kept.get("title"), str) else ""
        self.has_text = kept.get("text") is not False
        self.facts, self.pairs = kept.get("facts"), kept.get("pairs")
        entities = [_numbers(entity) for entity in _items(kept.get("entities"))]
        fits = all(entities) and sorted(chain.from_iterable(entities)) == [*range(len(spans))]
        fits = fits and "entities" in kept and all(any(map(self.is_word, span)) for span in spans)
        self.entities = entities if fits else None
        names = [pair for pair in _items(kept.get("names")) if len(_items(pair)) == 2 and isinstance(pair[1], str)]
        self.names = {number: name for number, name in names if fits and number in range(len(spans))}

    def is_word(self, token: Any) -> bool:
        """Whether a token is a word: spaCy keeps white space in tokens, too."""
        return bool(token.text.strip()) or token.i in self._blanks

    def relations(self, spans: list[Any]) -> dict[tuple[int, int], dict[str, float]] | None:
        """`doc._.rel` as it was written."""
        if not isinstance(self.facts, (list, tuple)):
            return None
        first = [spans[entity[0]].start for entity in self.entities]
        return _tutorial(first, [(fact["h"], fact["t"], fact["r"]) for fact in self.facts])


def _items(value: Any) -> tuple:
    return tuple(value) if isinstance(value, (list, tuple)) else ()


def _numbers(value: Any) -> list[int]:
    return [number for number in _items(value) if type(number) is int]


def _tutorial(first: list[int], facts: Iterable[tuple[int, int, str]]) -> dict[tuple[int, int], dict[str, float]]:
    """Facts as in spaCy's tutorial.

    Args:
        first: of each entity, the first token of its first mention.
    """
    relations: dict[tuple[int, int], dict[str, float]] = {}
    for head, tail, relation in facts:
        relations.setdefault((first[head], first[tail]), {})[relation] = 1.0
    return relations


def _labels(doc: Any, title: str, spans: list[Any], entities: list[list[int]], kept: _Kept) -> dict[str, Any]:
    """`labels` and `pairs`: what was kept where the relations are still those that were written."""
    relations = _extension(doc, "rel")
    if kept.entities is not None:
        try:
            same = kept.relations(spans) == (None if relations is None else dict(relations))
        except (KeyError, IndexError, TypeError, ValueError):
            same = False
        if same:
            kept_labels = {"labels": kept.facts, "pairs": kept.pairs}
            return {key: list(value) for key, value in kept_labels.items() if value is not None}
    if relations is None:
        relations = _extension(doc, "relations")
    if relations is None:
        return {}
    number_of: dict[int, int] = {}
    for number, entity in enumerate(entities):
        for mention in entity:
            number_of.setdefault(spans[mention].start, number)
    return labels_between(_related(relations), number_of)


def _extension(doc: Any, name: str) -> Any:
    """`doc._.name`, also where nobody declared it: files keep it in the user data."""
    return doc._.get(name) if doc.has_extension(name) else doc.user_data.get(("._.", name, None, None))


def _related(relations: Any) -> Iterator[Related]:
    """Relations between first tokens, by any of the conventions."""
    if isinstance(relations, dict):
        items = [(f"rel[{key!r}]"[:60], key, value) for key, value in relations.items()]
    elif isinstance(relations, (list, tuple)):
        items = [(f"relations[{i}]", None, value) for i, value in enumerate(relations)]
    else:
        raise DocumentError(f"expected a dict or list of relations, found {_kind(str(relations))}.", "rel")
    for where, key, value in items:
        if isinstance(key, tuple) and len(key) == 2 and isinstance(value, dict):
            for relation, score in value.items():
                if not isinstance(score, (int, float)):
                    raise DocumentError(f"expected a score, found {_kind(str(score))}.", where)
                if score >= LIKELY and key[0] != key[1]:
                    more = {} if score == 1 else {"score": float(score)}
                    yield Related(relation, _first(key[0], where), _first(key[1], where), where, more)
        else:
            yield _named(value, where)


def _named(value: Any, where: str) -> Related:
    """A relation as a dict, or as three: the one that is a string is its name."""
    if isinstance(value, dict):
        parts = [next((value[key] for key in keys if key in value), None) for keys in (_NAMES, _HEADS, _TAILS)]
    elif isinstance(value, (list, tuple)) and len(value) == 3:
        names = [part for part in value if isinstance(part, str)]
        parts = [*names, *(part for part in value if not isinstance(part, str))]
    else:
        parts = []
    if len(parts) != 3 or not isinstance(parts[0], str):
        raise DocumentError("expected a relation with its head, tail and name.", where)
    return Related(parts[0], _first(parts[1], where), _first(parts[2], where), where)


def _first(argument: Any, where: str) -> int:
    """The first token of an argument: its number, [start, end), or a span."""
    if isinstance(argument, (list, tuple)) and argument:
        argument = argument[0]
    start = getattr(argument, "start", argument)
    if not isinstance(start, int) or isinstance(start, bool):
        raise DocumentError(f"expected a span or the number of its first token, found {_kind(str(start))}.", where)
    return start


def from_file(path: Path) -> Iterator[dict[str, Any] | DocumentError]:
    """Yields the documents of a DocBin in DocRED's layout; those without a title are named after the file.

    Raises:
        DocumentError: spaCy is not installed, or cannot read the file.
    """
    try:
        docs = _docs(path)
        for number in range(len(docs.tokens)):
            try:
                with gc_paused():  # which msgpack would leave off for good where it fails
                    doc = next(docs.iterator)
                item = _docred(doc, f"{path.stem}-{number}")
            except DocumentError as error:
                item = error
            yield item
    except (DocumentError, OSError):
        raise
    except Exception as error:  # of damaged data spaCy and msgpack raise nothing more special
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise DocumentError(f"spaCy cannot read the file ({reason}); download or write it again.") from None


class _Docs:
    """The documents of a DocBin, with the columns that are looked at: others may be large, or damaged."""

    def __init__(self, data: bytes):
        import spacy

        docs = spacy.tokens.DocBin().from_bytes(data)
        names = spacy.attrs.IDS
        wanted = [names[name] for name in ("ORTH", "ENT_IOB", "ENT_TYPE", "ENT_KB_ID", "ENT_ID", "SENT_START")]
        if names["SENT_START"] not in docs.attrs:
            wanted += [names["HEAD"], names["DEP"]]
        columns = [number for number, attribute in enumerate(docs.attrs) if attribute in wanted]
        docs.attrs = [docs.attrs[number] for number in columns]
        self.tokens = docs.tokens = [tokens[:, columns] for tokens in docs.tokens]
        self.iterator = docs.get_docs(spacy.vocab.Vocab())


def _docs(path: Path) -> _Docs:
    _check_installed()
    data = path.read_bytes()
    unpacked = zlib.decompressobj()
    most = most_bytes(len(data))
    try:
        if len(unpacked.decompress(data, most + 1)) > most:
            raise unpacks_too_far()
    except zlib.error as error:
        raise DocumentError(f"the file is no DocBin of spaCy ({error}); write it with `DocBin.to_disk`.") from None
    with gc_paused():
        return _Docs(data)


def _check_installed() -> None:
    try:
        import spacy  # noqa: F401
    except ImportError:
        raise DocumentError('documents of spaCy need it; run `pip install "finecl_hf[spacy]"`.') from None


def write(documents: Iterable[Document], path: Path) -> None:
    """Writes a DocBin; the whole of it is in memory."""
    _check_installed()
    import spacy

    attributes = ["ENT_IOB", "ENT_TYPE", "ENT_KB_ID", "ENT_ID", "SENT_START"]
    docs = spacy.tokens.DocBin(attrs=attributes, store_user_data=True)
    vocab = spacy.vocab.Vocab()
    for document in documents:
        docs.add(spacy_of_document(document, vocab))
    with replacing(path) as file:
        file.write(docs.to_bytes())


def spacy_of_document(document: Document, vocab: Any) -> Any:
    """The document as a `spacy.tokens.Doc`, from which [`document_of_spacy`] makes an equal one.

    Mentions are `doc.ents`, or `doc.spans["sc"]` where they overlap or have no type.

    Args:
        vocab: a `spacy.vocab.Vocab`.
    """
    from spacy.tokens import Doc, Span

    words, spaces, starts, number_of = _tokens(document)
    doc = Doc(vocab, words=words, spaces=spaces, sent_starts=starts)
    mentions = [
        (number_of[mention.sent_id, mention.start], number_of[mention.sent_id, mention.end - 1] + 1, i, mention)
        for i, entity in enumerate(document.entities)
        for mention in entity
    ]
    order = sorted(range(len(mentions)), key=lambda number: mentions[number][:2])
    spans = [
        Span(doc, mentions[number][0], mentions[number][1], mentions[number][3].type, kb_id=mentions[number][3].kb_id)
        for number in order
    ]
    if any(before.end > after.start for before, after in pairwise(spans)) or not all(span.label_ for span in spans):
        doc.spans[SPANS] = spans
    else:
        doc.ents = spans
    entities: list[list[int]] = [[] for _ in document.entities]
    rank_of = {number: rank for rank, number in enumerate(order)}
    for number, (_, _, entity, _) in enumerate(mentions):
        entities[entity].append(rank_of[number])
    raw = document.to_dict()
    named = [(rank_of[number], mention.name) for number, (_, _, _, mention) in enumerate(mentions)]
    doc.user_data["title"] = document.title
    doc.user_data[_OURS] = {
        "title": document.title,
        "text": document.text is not None,
        "entities": entities,
        "names": [[rank, name] for rank, name in named if name != spans[rank].text.strip()],
        "blanks": [number for number in number_of.values() if not words[number].strip()],
        "facts": raw.get("labels"),
        "pairs": raw.get("pairs"),
    }
    if document.labelled:
        first = [spans[entity[0]].start for entity in entities]
        facts = ((fact.head, fact.tail, fact.relation) for fact in document.relations)
        doc.user_data["._.", "rel", None, None] = _tutorial(first, facts)
    return doc


def _tokens(document: Document) -> tuple[list[str], list[bool], list[bool], dict[tuple[int, int], int]]:
    """Words with white space of more than one space among them, whether a space follows, whether a sentence begins;
    and the number of the token that a word of a sentence is."""
    text, places = text_of(document)
    words: list[str] = []
    spaces: list[bool] = []
    starts: list[bool] = []
    number_of = {}

    def add_space(gap: str) -> None:
        if words and gap.startswith(" "):
            spaces[-1] = True
            gap = gap[1:]
        if gap:
            words.append(gap)
            spaces.append(False)
            starts.append(False)

    at = 0
    for i, sentence in enumerate(places):
        for j, (start, end) in enumerate(sentence):
            add_space(text[at:start])
            number_of[i, j] = len(words)
            words.append(text[start:end])
            spaces.append(False)
            starts.append(j == 0)
            at = end
    add_space(text[at:])
    return words, spaces, starts, number_of


def _refuses(document: Document) -> str:
    if not all(sentence and all(sentence) for sentence in document.sentences):
        return "a word or a sentence is empty, and spaCy has no such; remove it"
    return ""


FORMATS = (
    Format(
        "docbin",
        to_docred=lambda raw: raw,
        suffixes=(".spacy",),
        from_file=from_file,
        write=write,
        holds=frozenset(
            {"text", "sentences", "mentions", "types", "kb_ids", "unlabelled", "pairs", "evidence", "source", "score"}
        ),
        refuses=_refuses,
    ),
)
