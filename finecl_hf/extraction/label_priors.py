"""How many true facts there are for each labelled one: what positive-unlabelled losses have to be told.

Kept in the configuration as `label_priors`, `{relation: [labelled share, true share]}`: of all pairs of the training
documents, the share that carries the label and the share that truly has the relation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from finecl_hf.data.documents import Document
from finecl_hf.data.json_stream import read_json
from finecl_hf.errors import FineCLError
from finecl_hf.losses import PU_LOSSES


LabelPriors = dict[str, list[float]]

DEFAULT_FACTOR = 3.0  # Re-DocRED found 3.2 facts for each that DocRED had labelled
FROM_VALIDATION = "validation"
SHRINKAGE = 3.0  # labelled facts of a relation with which its own factor counts as much as that of all relations
MOST_FACTOR = 1000.0


def check_label_prior(
    loss: str | None,
    label_prior: str | None,
    task: str | None = None,
    na_ratio: float | None = None,
    na_sampling: str = "uniform",
) -> None:
    """
    Raises:
        FineCLError: a positive-unlabelled loss cannot learn from such pairs; or the prior makes no sense, or is given
            to another loss.
    """
    if loss not in PU_LOSSES:
        if label_prior is not None and loss is not None:
            raise FineCLError(f"--label_prior is for the losses {', '.join(PU_LOSSES)}; choose one with --loss.")
        return
    if task == "sentence":
        raise FineCLError(f"--loss {loss} is for documents, whose pairs may have any number of relations.")
    if na_sampling == "hard" or na_ratio == 0:
        raise FineCLError(
            f"--loss {loss} learns from the unlabelled pairs as they are: leave --na_sampling hard and --na_ratio 0 "
            "away."
        )
    if label_prior not in (None, FROM_VALIDATION):  # before documents are read and tokenised
        _read_factors(label_prior)


def label_priors(
    wanted: str | None, documents: Iterable[Document], validation: Iterable[Document] | None = None
) -> LabelPriors:
    """The priors that `--label_prior` asks for.

    Args:
        wanted: how many true facts there are for each labelled one: a number, a JSON file of them by relation (the
            others have `DEFAULT_FACTOR`), or `validation`; None for `DEFAULT_FACTOR`.
        documents: those of training.
        validation: documents on which every true fact is labelled.

    Raises:
        FineCLError: it is no number of 1 or more, no such file; there are no validation documents to learn from; or
            all documents are sentences.
    """
    labelled, pairs = labelled_facts(_no_sentences(documents))
    if wanted == FROM_VALIDATION:
        if validation is None:
            raise FineCLError(
                "--label_prior validation: there are no validation documents, on which every true fact is labelled; "
                "give a number, or name them with stage 3's --validation_file."
            )
        gold, gold_pairs = labelled_facts(validation)
        if not labelled.keys() & gold.keys():
            raise FineCLError(
                "--label_prior validation: the validation documents have no fact of a relation that is trained on; "
                "name documents in --validation_file on which every true fact is labelled, or give a number."
            )
        factors = estimated_factors(labelled, pairs, gold, gold_pairs)
    else:
        factors = _given_factors(wanted, labelled)
    return {
        relation: [count / pairs, min(factors[relation] * count / pairs, 1.0)]
        for relation, count in sorted(labelled.items())
    }


def _no_sentences(documents: Iterable[Document]) -> Iterator[Document]:
    """The documents. Raises FineCLError after the last where all are sentences: of each, the only pair is labelled."""
    sentences = others = 0
    for document in documents:
        sentences, others = sentences + document.is_sentence, others + (not document.is_sentence)
        yield document
    if sentences and not others:
        raise FineCLError(
            "all training documents are sentences with one pair each, and the losses "
            f"{', '.join(PU_LOSSES)} are for documents; choose another --loss."
        )


def labelled_facts(documents: Iterable[Document]) -> tuple[Counter[str], int]:
    """How many pairs carry each relation's label, and how many pairs there are."""
    counts: Counter[str] = Counter()
    pairs = 0
    for document in documents:
        size = len(document.entities)
        pairs += size * (size - 1) if document.pairs is None else len(document.pairs)
        counts.update(relation for _, _, relation in {(f.head, f.tail, f.relation) for f in document.relations})
    return counts, pairs


def estimated_factors(labelled: Counter[str], pairs: int, gold: Counter[str], gold_pairs: int) -> dict[str, float]:
    """True facts for each labelled one, by relation, from other documents that have complete labels.

    As many pairs of those would have carried `e` labels of a relation, by its share of the training documents, and do
    have `g` facts of it. Its factor is (g + k F) / (e + k), at least 1, where F is the factor of all relations
    together and k is `SHRINKAGE`.

    Args:
        labelled, pairs: of the training documents, see [`labelled_facts`]; gold, gold_pairs: of the others.
    """
    share = gold_pairs / max(pairs, 1)
    common = gold.total() / max(labelled.total() * share, 1e-9)
    factors = {}
    for relation, count in labelled.items():
        own = (gold[relation] + SHRINKAGE * common) / (count * share + SHRINKAGE)
        factors[relation] = min(max(own, 1.0), MOST_FACTOR)
    return factors


def _given_factors(wanted: str | None, labelled: Counter[str]) -> dict[str, float]:
    """Factors of the relations that the training documents label: a number for all, or those of a file."""
    given = {} if wanted is None else _read_factors(wanted)
    if not isinstance(given, dict):
        return dict.fromkeys(labelled, given)
    if unknown := sorted(given.keys() - labelled.keys()):
        raise FineCLError(f'--label_prior {wanted}: no training document has a label "{unknown[0]}"; leave it away.')
    return dict.fromkeys(labelled, DEFAULT_FACTOR) | given


def _read_factors(wanted: str) -> float | dict[str, float]:
    """A factor for all relations, or those of a file."""
    try:
        number = float(wanted)
    except ValueError:
        given = read_json(wanted, "--label_prior")
    else:
        return _factor(number, f"--label_prior {wanted}")
    if not isinstance(given, dict):
        raise FineCLError(f"--label_prior {wanted}: expected an object of relation: true facts for each labelled one.")
    return {relation: _factor(value, f"--label_prior {wanted}: {relation}") for relation, value in given.items()}


def _factor(value: float, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= MOST_FACTOR:
        raise FineCLError(
            f"{where}: {value!r} true facts for each labelled one make no sense; give a number from 1 to "
            f"{MOST_FACTOR:g}."
        )
    return float(value)
