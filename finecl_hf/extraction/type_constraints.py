"""Which types of head and tail a relation allows: nobody is born in a date.

Constraints are a dictionary `{relation: [[head type, tail type], ...]}`. A relation that is not among them is free,
and so is a pair one of whose entities has no type, or one that no constraint names.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from finecl_hf.data.documents import NA, Document
from finecl_hf.encoding.pooling import places_in
from finecl_hf.errors import FineCLError
from finecl_hf.hashing import type_key


logger = logging.getLogger(__name__)

Constraints = dict[str, list[list[str]]]

# What training documents have to show, chosen on Re-DocRED's dev documents, see docs/results.md
LEAST_FACTS = 10  # of a relation, with both types told; one of fewer is free
LEAST_SHARE = 0.03  # of a relation's facts, that a pair of types makes up; one of less is a slip of annotation
# Of a relation's facts, that all its allowed pairs of types make up together. Where fine types spread them over very
# many pairs, each is rare without being a slip: such a relation is free.
LEAST_COVERAGE = 0.8


def type_constraints(
    wanted: str, documents: Iterable[Document] | None, label2id: dict[str, int]
) -> Constraints | None:
    """The constraints that `--type_constraints` asks for: `learned` from documents, `none`, or those of a file.

    Raises:
        FineCLError: see [`read_constraints`]; or there are no documents to learn from.
    """
    if wanted == "none":
        return None
    if wanted == "learned" and documents is None:
        raise FineCLError("--type_constraints learned: there are no training documents; name them with --train_file.")
    if wanted == "learned":
        return learned_constraints(documents) or None
    constraints = read_constraints(wanted, label2id)
    if documents is not None:
        _tell_unknown_types(constraints, documents, wanted)
    return constraints or None


def _tell_unknown_types(constraints: Constraints, documents: Iterable[Document], path: str) -> None:
    """A type that no document has is a slip of the pen: a pair with one that no constraint names is free."""
    known = {mentions[0].type for document in documents for mentions in document.entities}
    unknown = sorted({name for allowed in constraints.values() for pair in allowed for name in pair} - known)
    if unknown:
        logger.warning(
            "--type_constraints %s: no entity of the training documents has the type %s; theirs are %s.",
            path, ", ".join(unknown[:5]), ", ".join(sorted(filter(None, known))[:10]) or "not told",
        )  # fmt: skip


def learned_constraints(documents: Iterable[Document]) -> Constraints:
    """What the facts of training documents have in common, see `LEAST_FACTS`, `LEAST_SHARE` and `LEAST_COVERAGE`."""
    seen: dict[str, Counter] = defaultdict(Counter)
    for document in documents:
        for fact in document.relations:
            types = document.types_of(fact)
            if all(types):
                seen[fact.relation][types] += 1
    constraints = {}
    for relation, counts in sorted(seen.items()):
        total = counts.total()
        allowed = sorted(list(types) for types, count in counts.items() if count >= LEAST_SHARE * total)
        covered = sum(counts[tuple(types)] for types in allowed)
        if total >= LEAST_FACTS and covered >= LEAST_COVERAGE * total:
            constraints[relation] = allowed
    return constraints


def read_constraints(path: str, label2id: dict[str, int]) -> Constraints:
    """Constraints from a JSON file.

    Raises:
        FineCLError: it is no such file, or names a relation that the model does not know.
    """
    from finecl_hf.data.json_stream import read_json  # which no model needs

    raw, source = read_json(path, "--type_constraints"), f"--type_constraints {path}"
    if not isinstance(raw, dict):
        raise FineCLError(f'{source}: expected an object such as {{"P19": [["PER", "LOC"]]}}.')
    for relation, allowed in raw.items():
        if relation not in label2id or relation == NA:
            raise FineCLError(f'{source}: "{relation}" is no relation of this model; correct it or leave it out.')
        if not isinstance(allowed, list) or not allowed or not all(_is_pair_of_types(pair) for pair in allowed):
            raise FineCLError(
                f'{source}: "{relation}" needs a list of pairs of types such as [["PER", "LOC"]]; leave a relation '
                "out that allows all."
            )
    return {relation: sorted(map(list, {tuple(pair) for pair in allowed})) for relation, allowed in raw.items()}


def allowed_relations(
    constraints: Constraints, label2id: dict[str, int], entity_type: torch.Tensor, pairs: torch.Tensor
) -> torch.Tensor:
    """Which relations the types of each pair allow.

    Args:
        entity_type: (E,) see `hashing.type_key`.
        pairs: (P, 2) entities of head and tail.

    Returns:
        (P, R) bool, on the device of `pairs`; NA is always allowed.
    """
    names = sorted({name for allowed in constraints.values() for pair in allowed for name in pair}, key=type_key)
    number = {name: i for i, name in enumerate(names)}
    codes = {
        relation: [number[head] * len(names) + number[tail] for head, tail in allowed]
        for relation, allowed in constraints.items()
    }
    # A row for each pair of types that some relation allows, one for all others, and one for types without a number
    row = {code: i for i, code in enumerate(sorted({code for allowed in codes.values() for code in allowed}))}
    table = np.ones((len(row) + 2, len(label2id)), dtype=bool)
    for relation, allowed in codes.items():
        table[: len(row) + 1, label2id[relation]] = False
        table[[row[code] for code in allowed], label2id[relation]] = True
    place, known = places_in(torch.tensor([type_key(name) for name in names]), entity_type.cpu())
    head, tail = pairs.cpu().T
    signature, listed = places_in(torch.tensor(list(row)), place[head] * len(names) + place[tail])
    signature = torch.where(listed, signature, len(row))
    signature = torch.where(known[head] & known[tail], signature, len(row) + 1)
    return torch.from_numpy(table)[signature].to(pairs.device)


def _is_pair_of_types(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(name, str) and name for name in pair)
