"""What a pipeline is given, as documents: raw text, text with entities in characters, spaCy's documents, our own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from finecl_hf.data.documents import MOST_ENTITIES, Document, _kind
from finecl_hf.data.spans import Span, document_of_text
from finecl_hf.errors import DocumentError, FineCLError
from finecl_hf.extraction.recognition.mentions import is_mention, mention_of, mentions_of, spacy_span
from finecl_hf.extraction.recognition.merging import Coreference, merge_mentions, rules_of
from finecl_hf.extraction.recognition.patterns import add_where_free, date_spans, number_spans
from finecl_hf.extraction.recognition.recognisers import CHOICES, Recogniser, make_recogniser, recognise
from finecl_hf.extraction.recognition.types import NUM, TIME, as_known, is_one_of


Item = Any  # a Document, a dict, a text, or a document of spaCy


@dataclass(slots=True)
class Source:
    """One thing that a pipeline was given.

    Attributes:
        item: as it was given.
        document: what it is; None where it could not be read.
        error: why it could not.
    """

    item: Item
    document: Document | None = None
    error: FineCLError | None = None


def is_single(given: Any) -> bool:
    """Whether this is one thing to read, rather than several."""
    return isinstance(given, (str, bytes, dict, Document)) or _is_spacy(given)


class TextReader:
    """Makes documents of whatever a pipeline is given.

    Args:
        recogniser: see [`~finecl_hf.extraction.recognition.recognisers.make_recogniser`]; None where every text comes
            with its entities.
        join_mentions: which mentions are one entity: True for all rules of [`merge_mentions`], False for none, or
            their names.
        dates, numbers: find them in raw text by patterns. None does so for models that know such a type, where the
            recogniser knows none and has found none.
        coreference: see [`merge_mentions`]; it is asked wherever mentions are merged.
        type_names: types of the recogniser -> types of the model, for those that no common name joins.
        device: where a recogniser runs that is loaded here.

    Raises:
        FineCLError: one of them means nothing, or cannot be loaded.
    """

    def __init__(
        self,
        recogniser: Any = None,
        join_mentions: bool | str | Iterable[str] = True,
        dates: bool | None = None,
        numbers: bool | None = None,
        coreference: Coreference | None = None,
        type_names: dict[str, str] | None = None,
        device: Any = None,
    ):
        if coreference is not None and not callable(coreference):
            raise FineCLError(
                f"coreference: expected a function text -> clusters of spans, found {_kind(coreference)}."
            )
        if type_names is not None and not isinstance(type_names, dict):
            raise FineCLError(f"type_names: expected a dict of types, found {_kind(type_names)}.")
        for name, value in (("dates", dates), ("numbers", numbers)):
            if value not in (None, True, False):
                raise FineCLError(f"{name}: expected True, False or None, found {_kind(value)}.")
        if other := [word for pair in (type_names or {}).items() for word in pair if not isinstance(word, str)]:
            raise FineCLError(f"type_names: expected the name of a type, found {_kind(other[0])}.")
        self.recogniser: Recogniser | None = None if recogniser is None else make_recogniser(recogniser, device)
        self.rules, self.coreference = rules_of(join_mentions), coreference
        self.dates, self.numbers, self.type_names = dates, numbers, type_names or {}
        self._number = count()

    def read(self, items: Iterable[Item], types: frozenset[str] = frozenset()) -> list[Source]:
        """Reads items together, so that the recogniser gets their texts together.

        Args:
            items: one each.
            types: those that the model knows, see `types.known_types`.

        Returns:
            One each; what cannot be read has an error.
        """
        sources = [Source(item) for item in items]
        raw = {number: text for number, source in enumerate(sources) if (text := _raw_text(source.item)) is not None}
        found = dict(zip(raw, self._recognised(list(raw.values())), strict=True))
        for number, source in enumerate(sources):
            try:
                source.document = self._document(source.item, found.get(number), types)
            except FineCLError as error:
                source.error = error
        return sources

    def _recognised(self, texts: list[str]) -> list[list[Span] | FineCLError]:
        if self.recogniser is None:
            missing = FineCLError(
                "this is raw text, and its entities are not known; give `entities` with it, or the pipeline a "
                f"`recogniser`: {CHOICES}."
            )
            return [missing for _ in texts]
        return recognise(self.recogniser, texts) if texts else []

    def _document(self, item: Item, found: list[Span] | FineCLError | None, types: frozenset[str]) -> Document:
        for failed in (found, item):  # readers give an error in place of what they cannot read
            if isinstance(failed, FineCLError):
                raise failed
        if isinstance(item, Document):
            return item
        if isinstance(item, str):
            item = {"text": item}
        if _is_spacy(item):
            return self._of_spacy(item, types)
        if not isinstance(item, dict):
            raise DocumentError(f"expected a document, a text, or {{text, entities}}, found {_kind(item)}.")
        if not _is_text(item):
            _check_is_document(item)
            return _docred(item)
        title, text = self._title(item), item["text"]
        if not isinstance(text, str):
            raise DocumentError(f"expected a string, found {_kind(text)}.", "text")
        if found is not None:
            spans = self._with_patterns(text, [mention_of(span, text) for span in found], types)
            return self._made(title, text, self._grouped(text, spans), types)
        return self._made(title, text, self._given(text, item["entities"]), types)

    def _given(self, text: str, entities: Any) -> list[list[Span]]:
        """Entities as a user gave them: where one is a list of mentions, all are as they are to be."""
        if not isinstance(entities, (list, tuple)):
            raise DocumentError(f"expected a list of entities, found {_kind(entities)}.", "entities")
        if all(is_mention(entity) for entity in entities):
            return self._grouped(text, mentions_of(entities, text, "entities"))
        groups = []
        for i, entity in enumerate(entities):
            where = f"entities[{i}]"
            mentions = [mention_of(entity, text, where)] if is_mention(entity) else mentions_of(entity, text, where)
            if not mentions:
                raise DocumentError("the entity has no mention; give one at least, or leave it out.", where)
            groups.append(mentions)
        return groups

    def _grouped(self, text: str, spans: list[Span]) -> list[list[Span]]:
        return merge_mentions(text, spans, self.rules, self.coreference)

    def _with_patterns(self, text: str, spans: list[Span], types: frozenset[str]) -> list[Span]:
        """Mentions of a recogniser, and dates and numbers where it gives none."""
        told = {*(getattr(self.recogniser, "types", None) or ()), *(span.type for span in spans)}
        for wanted, find, group in ((self.dates, date_spans, TIME), (self.numbers, number_spans, NUM)):
            known = as_known(group[0].upper(), types)
            wanted = known in types if wanted is None else wanted
            if wanted and not any(is_one_of(kind, group) for kind in told):
                spans = add_where_free(spans, find(text, known))
        return spans

    def _of_spacy(self, doc: Any, types: frozenset[str]) -> Document:
        spans = [spacy_span(entity) for entity in doc.ents]
        sentences = None
        if doc.has_annotation("SENT_START"):
            sentences = [(sentence.start_char, sentence.end_char) for sentence in doc.sents]
        entities = self._grouped(doc.text, [mention_of(span, doc.text) for span in spans])
        return self._made(self._title({}), doc.text, entities, types, sentences)

    def _made(
        self,
        title: str,
        text: str,
        entities: list[list[Span]],
        types: frozenset[str],
        sentences: list[tuple[int, int]] | None = None,
    ) -> Document:
        entities = [[self._typed(span, types) for span in entity] for entity in entities]
        return _docred(document_of_text(title, text, entities, sentences=sentences))

    def _typed(self, span: Span, types: frozenset[str]) -> Span:
        known = as_known(self.type_names.get(span.type, span.type), types)
        return span if known == span.type else replace(span, type=known)

    def _title(self, item: dict) -> str:
        title = next((item[key] for key in ("title", "id") if item.get(key) not in (None, "")), None)
        if title is not None and (isinstance(title, bool) or not isinstance(title, (str, int))):
            raise DocumentError(f"expected a string, found {_kind(title)}.", "title" if "title" in item else "id")
        return f"text-{next(self._number)}" if title is None else str(title)


def _is_spacy(item: Any) -> bool:
    """Whether this is a document of spaCy, which need not be there to know."""
    return all(hasattr(item, name) for name in ("ents", "text", "has_annotation"))


def _is_text(item: dict) -> bool:
    """Whether a dict is a text, with or without entities, rather than a document in DocRED's layout."""
    return "text" in item and "sents" not in item


def _check_is_document(item: dict) -> None:
    """Raises DocumentError for a dict that is neither a text nor a document, whatever else it is."""
    if not {"sents", "vertexSet"} & item.keys():
        found = ", ".join(str(key)[:40] for key in [*item][:8]) or "nothing"
        raise DocumentError(f'expected the key "text", or "title", "sents" and "vertexSet"; found {found}.')


def _raw_text(item: Item) -> str | None:
    """The text whose entities are to be found; None for anything else."""
    if isinstance(item, dict) and _is_text(item) and item.get("entities") is None:
        item = item["text"]
    return item if isinstance(item, str) else None


def _docred(raw: dict[str, Any]) -> Document:
    """A document of any number of entities: what is too large to be judged whole is cut later on."""
    entities = raw.get("vertexSet")
    if raw.get("pairs") is None and isinstance(entities, list) and len(entities) > MOST_ENTITIES:
        return replace(Document.from_dict({**raw, "labels": None, "pairs": []}), pairs=None)
    return Document.from_dict(raw)
