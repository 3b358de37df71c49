"""What finds the entities in raw text: token classification, spaCy, a list of names, or any function."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import Pipeline, pipeline

from finecl_hf.data.documents import _kind
from finecl_hf.data.spans import Span
from finecl_hf.encoding.encoders import loading_from, max_length_for
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.recognition.gazetteer import Gazetteer, looks_like_gazetteer
from finecl_hf.extraction.recognition.mentions import mentions_of, spacy_span
from finecl_hf.extraction.recognition.pieces import pieces_of


MARGIN = 0.95  # of a model's length: tokens of sentences that are joined may be a few more
BATCH_SIZE = 16  # pieces of text that a token classifier reads at a time
CHOICES = (
    "a token-classification model (folder or Hub id), a spaCy pipeline (name, folder or nlp), a file of names "
    "(name<TAB>type), or a function text -> spans"
)

Recogniser = Callable[[list[str]], list[list[Span]]]


def make_recogniser(given: Any, device: Any = None) -> Recogniser:
    """What finds the entities of texts.

    Args:
        given: folder or Hub id of a token-classification model, or the pipeline of transformers with it; a spaCy
            pipeline, by name, folder, or loaded; a [`Gazetteer`], or the file of one; or a function from a text to
            spans as `mentions.mention_of` takes them.
        device: where a model that is loaded here runs.

    Returns:
        A function from texts to the mentions of each; `types` are those that it can find, None where not known.

    Raises:
        FineCLError: it is none of these, or cannot be loaded.
    """
    if isinstance(given, (TokenClassifier, SpacyRecogniser, FunctionRecogniser, Gazetteer)):
        return given
    if isinstance(given, Pipeline):
        return TokenClassifier(given)
    if hasattr(given, "pipe") and hasattr(given, "make_doc"):
        return SpacyRecogniser(given)
    if isinstance(given, (str, os.PathLike)):
        return _by_name(os.fspath(given), device)
    if callable(given):
        return FunctionRecogniser(given)
    raise FineCLError(f"recogniser: {_kind(given)} recognises nothing; give {CHOICES}.")


def _by_name(name: str, device: Any) -> Recogniser:
    path = Path(name)
    if not name:
        raise FineCLError(f"recogniser: the name is empty; give {CHOICES}.")
    if path.is_file() or looks_like_gazetteer(name) and not path.exists():
        return Gazetteer.from_file(name)
    if path.is_dir() and (path / "meta.json").exists() or _is_spacy_package(name):
        return SpacyRecogniser(_load_spacy(name))
    with loading_from(name, "recogniser"):
        made = pipeline(
            "token-classification", model=name, aggregation_strategy="first", device=device, trust_remote_code=False
        )
    _check_trained(name, made.model.config)
    return TokenClassifier(made)


def _check_trained(name: str, config: Any) -> None:
    """Raises FineCLError for an encoder without a classifier: its own would be drawn at random, and find anything."""
    architectures = config.architectures or []
    if architectures and not any("TokenClassification" in architecture for architecture in architectures):
        raise FineCLError(
            f"recogniser {name}: this is a {architectures[0]}, which was not trained to find entities; give {CHOICES}."
        )


def _is_spacy_package(name: str) -> bool:
    return name.isidentifier() and "_" in name and find_spec("spacy") is not None and find_spec(name) is not None


def _load_spacy(name: str) -> Any:
    if find_spec("spacy") is None:
        raise FineCLError(f"recogniser {name}: this is a spaCy pipeline, and spaCy is missing: pip install spacy.")
    import spacy

    try:
        return spacy.load(name)
    except Exception as error:  # whatever the pipeline's parts need
        raise FineCLError(f"recogniser {name}: spaCy cannot load it. {' '.join(str(error).split())[:200]}") from error


class TokenClassifier:
    """A token-classification pipeline of transformers; text past the model's length is read in pieces.

    Args:
        classifier: as it is set up; one that gives single tokens is asked for whole words (`first`).

    Raises:
        FineCLError: the pipeline is for something else.
    """

    def __init__(self, classifier: Pipeline):
        if classifier.task not in ("token-classification", "ner"):
            raise FineCLError(
                f"recogniser: this pipeline is for {classifier.task}; give one for token-classification."
            )
        self.classifier, self.options = classifier, {}
        tokenizer = classifier.tokenizer
        longest = max_length_for(tokenizer, classifier.model.config.get_text_config())
        self.limit = max(1, int(MARGIN * longest) - tokenizer.num_special_tokens_to_add())
        labels = classifier.model.config.id2label.values()
        self.types = frozenset(label[2:] if label[1:2] == "-" else label for label in labels if label != "O")

    def __call__(self, texts: list[str]) -> list[list[Span]]:
        pieces = [(number, start, piece) for number, text in enumerate(texts)
                  for start, piece in pieces_of(text, self._tokens, self.limit)]  # fmt: skip
        found: list[list[Span]] = [[] for _ in texts]
        if not pieces:
            return found
        for (number, start, piece), spans in zip(pieces, self._classify([p[2] for p in pieces]), strict=True):
            for span in mentions_of(spans, piece, "recogniser", check=False):
                found[number].append(Span(start + span.start, start + span.end, span.type))
        return found

    def _classify(self, pieces: list[str]) -> list[list[dict]]:
        found = self.classifier(pieces, batch_size=BATCH_SIZE, **self.options)
        if not self.options and any("entity" in span for spans in found for span in spans):  # single tokens
            self.options = {"aggregation_strategy": "first"}
            return self._classify(pieces)
        return [[span for span in spans if span["end"] > span["start"]] for spans in found]

    def _tokens(self, texts: list[str]) -> list[int]:
        if not texts:
            return []
        encoded = self.classifier.tokenizer(texts, add_special_tokens=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]


class SpacyRecogniser:
    """The entities (`doc.ents`) of a spaCy pipeline; text past its `max_length` is read in pieces."""

    def __init__(self, nlp: Any):
        self.nlp = nlp
        labels = [set(labels) for name, labels in nlp.pipe_labels.items() if name in ("ner", "entity_ruler")]
        self.types = frozenset().union(*labels) if labels else None

    def __call__(self, texts: list[str]) -> list[list[Span]]:
        pieces = [(number, start, piece) for number, text in enumerate(texts)
                  for start, piece in pieces_of(text, _characters, self.nlp.max_length)]  # fmt: skip
        found: list[list[Span]] = [[] for _ in texts]
        docs = self.nlp.pipe([piece for _, _, piece in pieces])
        for (number, start, _), doc in zip(pieces, docs, strict=True):
            for entity in map(spacy_span, doc.ents):
                found[number].append(Span(start + entity.start, start + entity.end, entity.type, entity.kb_id))
        return found


def _characters(texts: list[str]) -> list[int]:
    return [len(text) for text in texts]


class FunctionRecogniser:
    """Any function from a text to spans."""

    types: frozenset[str] | None = None

    def __init__(self, function: Callable[[str], Iterable[Any]]):
        self.function = function

    def __call__(self, texts: list[str]) -> list[list[Span]]:
        return [mentions_of(self.function(text), text, "recogniser") for text in texts]


def recognise(recogniser: Recogniser, texts: list[str]) -> list[list[Span] | FineCLError]:
    """The mentions of each text, or what went wrong with it; one text spoils no other.

    Args:
        recogniser: see [`make_recogniser`].
    """
    try:
        return list(recogniser(texts))
    except Exception as error:  # of foreign code: anything
        if len(texts) > 1:
            return [found for text in texts for found in recognise(recogniser, [text])]
        if isinstance(error, FineCLError):
            return [error]
        told = " ".join(str(error).split())[:200]
        failure = FineCLError(
            f"the recogniser failed ({type(error).__name__}: {told}); see whether it takes this text."
        )
        failure.__cause__ = error
        return [failure]
