"""Do the documents suit the encoder? Their length, their words, what its vectors know of the labels, and whether some
of them can be learned by heart. What needs no encoder is in [`~finecl_hf.data.health`].
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F

from finecl_hf.data.documents import NA, Document
from finecl_hf.data.health import LOOK, OK, WRONG, Finding
from finecl_hf.data.tally import Tally
from finecl_hf.encoding.batches import RelationCollator, to_device
from finecl_hf.encoding.features import DocumentEncoder
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.modeling import FineCLForRelationExtraction
from finecl_hf.extraction.overfitting import Overfitting, overfit
from finecl_hf.training.arguments import ModelArguments
from finecl_hf.training.loading import load_encoder


logger = logging.getLogger(__name__)

LONG = 0.05  # share of documents over the limit (Re-DocRED in 512 tokens of MiniLM: 0.006)
UNKNOWN = (0.005, 0.05)  # share of unknown tokens: worth a look, wrong
PIECES = (2.0, 3.0)  # tokens a word: worth a look, wrong (English in an English vocabulary: 1.1 to 1.4)
CAPITALS = 0.005  # share of words with a capital, below which a text has none
NEIGHBOUR_TOKENS = 8_000  # of the documents whose facts are compared
NEIGHBOUR_FACTS, SHUFFLES = 100, 50  # facts that there must be, and shuffles that chance is taken from
BY_CHANCE = 4.0  # standard deviations above chance from which on vectors and labels have to do with each other
TO_OVERFIT, DRAWN_FROM = 30, 300  # documents to learn by heart: the shortest of so many
BY_HEART = 0.95  # F1 that is near enough to 1


def encoder_findings(
    tallies: list[Tally],
    model_name: str,
    task: str,
    max_seq_length: int | None = None,
    overfit_seconds: float = 60.0,
    seed: int = 0,
    tell: Callable[[str], None] = logger.info,
) -> Iterator[Finding]:
    """All findings that need the encoder, one after the other as they are made.

    Args:
        tallies: of the training file, then of the others; their samples are looked at.
        model_name: the encoder, a folder or Hub id.
        task: `document` or `sentence`.
        max_seq_length: tokens that it is to read at a time; all that it can by default.
        overfit_seconds: most seconds of training; 0 leaves it out.
        seed: of the new head and the order of documents.
        tell: is told what goes on.

    Raises:
        FineCLError: the encoder cannot be loaded.
    """
    relations = sorted(set().union(*(tally.facts for tally in tallies)))
    label2id = {relation: i for i, relation in enumerate([NA, *relations])}
    arguments = ModelArguments(model_name_or_path=model_name, max_seq_length=max_seq_length)
    cut, whole = (load_encoder(arguments, label2id, what) for what in ("truncate", "windows"))
    for tally in tallies:
        yield _length(tally, cut)
        yield from _words(tally, cut)
    labelled = [tally for tally in tallies if tally.facts]
    if not labelled:
        return
    model = _new_model(model_name, whole, task, seed)
    for tally in labelled:
        tell(f"Comparing the facts of {tally.name} with each other ...")
        yield from _neighbours(tally, model, whole)
    train = tallies[0]
    if overfit_seconds > 0 and train.facts:
        documents = documents_to_overfit(train.sample)
        tell(f"Learning {len(documents)} training documents by heart, for {overfit_seconds:g} seconds at most ...")
        yield _overfitted(overfit(model, documents, whole, overfit_seconds, seed), overfit_seconds)


def _new_model(model_name: str, encoder: DocumentEncoder, task: str, seed: int) -> FineCLForRelationExtraction:
    config = FineCLConfig.for_labels(
        encoder.label2id,
        task=task,
        loss="softmax" if task == "sentence" else "adaptive_threshold",
        max_seq_length=encoder.max_length,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = FineCLForRelationExtraction.from_encoder(model_name, config)
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


# Length and words -----------------------------------------------------------------------------------


def _length(tally: Tally, encoder: DocumentEncoder) -> Finding:
    documents = tally.sample
    lengths = [len(ids) for ids in _tokens(documents, encoder)["input_ids"]]
    columns = encoder.encode(documents)
    lost = {name: sum(columns[f"lost_{name}"]) for name in ("mentions", "entities", "facts")}
    over = sum(length > encoder.max_length for length in lengths)
    facts = sum(len(document.relations) for document in documents)
    share = over / len(documents)
    figures = {"role": tally.role, "over": over, "documents": len(documents), "longest": max(lengths), **lost}
    of_all = "" if len(documents) == tally.documents else f" of a sample of {len(documents):,}"
    found = (
        f"{tally.role}: {over:,} documents{of_all} ({share:.1%}) are longer than {encoder.max_length} tokens; "
        f"the longest has {max(lengths):,}."
    )
    if not over:
        return Finding("length", OK, found, figures=figures)
    found += (
        f" Behind the limit lie {lost['mentions']:,} mentions, with them {lost['entities']:,} entities and "
        f"{lost['facts']:,} of {facts:,} facts."
    )
    return Finding(
        "length", LOOK if share > LONG else OK, found,
        "Stage 3 reads long documents in overlapping windows and loses nothing; stages 1 and 2, and "
        "`--long_documents truncate`, never see these.",
        "An encoder that reads more tokens, or shorter documents.", figures,
    )  # fmt: skip


def _tokens(documents: list[Document], encoder: DocumentEncoder):
    """Tokens of whole documents, however long."""
    words = [[word for sentence in document.sentences for word in sentence] or [""] for document in documents]
    return encoder.tokenizer(words, is_split_into_words=True, verbose=False)


def _words(tally: Tally, encoder: DocumentEncoder) -> Iterator[Finding]:
    documents, tokenizer = tally.sample, encoder.tokenizer
    encoded = _tokens(documents, encoder)
    words = [word for document in documents for sentence in document.sentences for word in sentence]
    tokens, strange = 0, Counter()
    for number, document in enumerate(documents):
        own = [word for sentence in document.sentences for word in sentence]
        of_words = [
            (token, word) for token, word in zip(encoded["input_ids"][number], encoded.word_ids(number), strict=True)
            if word is not None
        ]  # fmt: skip
        tokens += len(of_words)
        strange.update(own[word] for token, word in of_words if token == tokenizer.unk_token_id and own)
    pieces, unknown = tokens / max(len(words), 1), strange.total() / max(tokens, 1)
    mark = max((OK, LOOK, WRONG), key=lambda mark: _reached(mark, unknown, pieces))
    told = f", such as {', '.join(word for word, _ in strange.most_common(5))}" if strange and mark != OK else ""
    yield Finding(
        "vocabulary", mark,
        f"{tally.role}: {pieces:.2f} tokens a word; {unknown:.2%} of the tokens are unknown{told}.",
        "The vocabulary is of another language, script or kind of text than the documents: the encoder knows little "
        "of their words.", "Take an encoder that was trained on such text.",
        {"role": tally.role, "tokens_a_word": pieces, "unknown": unknown},
    )  # fmt: skip
    capitals = sum(word != word.lower() for word in words) / max(len(words), 1)
    has_case = any(word.upper() != word for word in words[:1000])
    if has_case and capitals < CAPITALS and tokenizer.tokenize("Berlin") != tokenizer.tokenize("berlin"):
        yield Finding(
            "vocabulary", LOOK, f"{tally.role}: {capitals:.1%} of the words have a capital, though the vocabulary "
            "tells capitals from small letters.", "The encoder knows names with capitals: it reads others badly.",
            "Take the text as it was before it was lower-cased, or an uncased encoder.",
            {"role": tally.role, "capitals": capitals},
        )  # fmt: skip


def _reached(mark: str, unknown: float, pieces: float) -> int:
    """Rank of a mark that words deserve; -1 where they do not."""
    if mark == OK:
        return 0
    rank = 1 if mark == LOOK else 2
    return rank if unknown > UNKNOWN[rank - 1] or pieces > PIECES[rank - 1] else -1


# What the encoder's vectors know of the labels --------------------------------------------------------


def _neighbours(tally: Tally, model: FineCLForRelationExtraction, encoder: DocumentEncoder) -> Iterator[Finding]:
    vectors, labels, document = fact_vectors(_some(tally.sample, encoder), model, encoder)
    if len(labels) < NEIGHBOUR_FACTS or len(set(document.tolist())) < 2 or (labels.sum(dim=0) > 0).sum() < 2:
        return
    same, chance, deviation = neighbour_agreement(vectors, labels, document)
    figures = {"role": tally.role, "facts": len(labels), "same": same, "chance": chance, "deviation": deviation}
    found = (
        f"{tally.role}: of {len(labels):,} labelled pairs, the nearest one of another document has the same relation "
        f"in {same:.1%}; by chance it would in {chance:.1%}."
    )
    if same - chance < BY_CHANCE * deviation:
        yield Finding(
            "text and labels", WRONG, found,
            "What the encoder reads has nothing to do with the labels: they were shuffled, stand at other pairs or "
            "entities, or positions are wrong.",
            "Look at some facts with their sentences, and at what wrote the file.", figures,
        )  # fmt: skip
    else:
        yield Finding("text and labels", OK, found, figures=figures)


def _some(documents: list[Document], encoder: DocumentEncoder) -> list[Document]:
    """The first documents with facts, as many as `NEIGHBOUR_TOKENS` are enough for; two at least."""
    documents = [document for document in documents if document.relations]
    ends = np.cumsum([len(ids) for ids in _tokens(documents, encoder)["input_ids"]])
    return documents[: max(2, int(np.searchsorted(ends, NEIGHBOUR_TOKENS)))]


@torch.no_grad()
def fact_vectors(
    documents: list[Document], model: FineCLForRelationExtraction, encoder: DocumentEncoder
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The labelled pairs of documents as the encoder has them.

    Returns:
        vectors (N, 2 D) `[e_head; e_tail]`, labels (N, R) bool, and the document of each (N,); on the CPU.
    """
    rows = encoder.rows(documents)
    collate = RelationCollator(encoder.tokenizer.pad_token_id, na_ratio=0)
    vectors, labels, owner = [], [], []
    for start in range(0, len(rows), 8):
        batch = collate(rows[start : start + 8])
        entities = model(**to_device(batch, model.device)).entities.float().cpu()
        of_document = torch.arange(len(batch["pair_counts"])).repeat_interleave(torch.tensor(batch["pair_counts"]))
        targets = torch.zeros(len(batch["pairs"]), len(encoder.label2id), dtype=torch.bool)
        targets[batch["label_pair"], batch["label_relation"]] = True
        kept = targets.any(dim=1)
        vectors.append(entities[batch["pairs"][kept]].flatten(1))
        labels.append(targets[kept])
        owner.append(of_document[kept] + start)
    return torch.cat(vectors), torch.cat(labels), torch.cat(owner)


def neighbour_agreement(
    vectors: torch.Tensor, labels: torch.Tensor, document: torch.Tensor, seed: int = 0
) -> tuple[float, float, float]:
    """How often the nearest vector (cosine, mean taken off) of another document shares a label.

    Args:
        vectors: (N, D); labels: (N, R) bool; document: (N,), two different ones at least.

    Returns:
        that share; its mean and its standard deviation with shuffled labels.
    """
    vectors = F.normalize(vectors - vectors.mean(dim=0), dim=1)
    similarity = (vectors @ vectors.T).masked_fill(document[:, None] == document, -torch.inf)
    nearest = similarity.argmax(dim=1)
    generator = torch.Generator().manual_seed(seed)
    shares = [_agreement(labels, nearest)]
    for _ in range(SHUFFLES):
        shares.append(_agreement(labels[torch.randperm(len(labels), generator=generator)], nearest))
    by_chance = torch.tensor(shares[1:])
    return shares[0], float(by_chance.mean()), float(by_chance.std())


def _agreement(labels: torch.Tensor, nearest: torch.Tensor) -> float:
    return float((labels & labels[nearest]).any(dim=1).float().mean())


# A few documents by heart -----------------------------------------------------------------------------


def documents_to_overfit(sample: list[Document]) -> list[Document]:
    """Some documents with facts: the shortest ones of a part of the sample, which take the least time."""
    drawn = [document for document in sample if document.relations][:DRAWN_FROM]
    return sorted(drawn, key=lambda document: sum(map(len, document.sentences)))[:TO_OVERFIT]


def _overfitted(result: Overfitting, seconds: float) -> Finding:
    found = (
        f"{result.documents} training documents with {result.facts:,} facts: F1 {result.f1:.3f} on these very "
        f"documents after {result.passes} passes (head alone, on the encoder as it is: {result.head_f1:.3f}), "
        f"{result.seconds:.0f} s."
    )
    figures = vars(result)
    if result.ended == "diverged":
        return Finding(
            "overfitting", WRONG, f"{found} The loss is not finite.", "The encoder's weights or the input are broken.",
            "Try another encoder, and look for NaN in the weights of this one.", figures,
        )  # fmt: skip
    if result.f1 >= BY_HEART:
        return Finding("overfitting", OK, f"{found} They can be learned by heart.", figures=figures)
    if result.ended == "time":
        return Finding(
            "overfitting", LOOK, f"{found} The time was over before it had learned them.",
            "Nothing is known to be wrong: this machine needs longer for this encoder.",
            f"`--overfit_seconds {4 * seconds:.0f}`, or a smaller encoder.", figures,
        )  # fmt: skip
    return Finding(
        "overfitting", WRONG, f"{found} It learns no more.",
        "What cannot be learned by heart cannot be learned at all: a model on these files will not be better.",
        "Look, in this order, at labels that contradict each other (the same text and entities with other relations), "
        "entities that share one position, positions, and facts past the encoder's length; if all are well, at the "
        "encoder (its weights, its tokenizer).", figures,
    )  # fmt: skip
