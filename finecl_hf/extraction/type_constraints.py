"""Which types of head and tail a relation allows: nobody is born in a date.

Constraints are a dictionary `{relation: [[head type, tail type], ...]}`. A relation that is not among them is free,
and so is a pair one of whose entities has no type, or one that no constraint names.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from finecl_hf.data.documents import NA, Document
from finecl_hf.data.json_stream import read_json
from finecl_hf.errors import FineCLError
from finecl_hf.hashing import type_key


Constraints = dict[str, list[list[str]]]

# What training documents have to show, chosen on Re-DocRED's dev documents, see docs/results.md
LEAST_FACTS = 10  # of a relation, with both types told; one of fewer is free
LEAST_SHARE = 0.03  # of a relation's facts, that a pair of types makes up; one of less is a slip of annotation


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
    return (learned_constraints(documents) if wanted == "learned" else read_constraints(wanted, label2id)) or None


def learned_constraints(documents: Iterable[Document]) -> Constraints:
    """What the facts of training documents have in common, see `LEAST_FACTS` and `LEAST_SHARE`."""
    seen: dict[str, Counter] = defaultdict(Counter)
    for document in documents:
        for fact in document.relations:
            types = document.entities[fact.head][0].type, document.entities[fact.tail][0].type
            if all(types):
                seen[fact.relation][types] += 1
    return {
        relation: sorted(list(types) for types, count in counts.items() if count >= LEAST_SHARE * counts.total())
        for relation, counts in sorted(seen.items())
        if counts.total() >= LEAST_FACTS
    }


def read_constraints(path: str, label2id: dict[str, int]) -> Constraints:
    """Constraints from a JSON file.

    Raises:
        FineCLError: it is no such file, or names a relation that the model does not know.
    """
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
    free = len(names)  # the row of all other types
    table = np.ones((free + 1, free + 1, len(label2id)), dtype=bool)
    for relation, allowed in constraints.items():
        table[:free, :free, label2id[relation]] = False
        for head, tail in allowed:
            table[number[head], number[tail], label2id[relation]] = True
    keys = torch.tensor([type_key(name) for name in names], device=entity_type.device)
    place = torch.searchsorted(keys, entity_type).clamp(max=free - 1)
    kind = torch.where(keys[place] == entity_type, place, free)
    head, tail = kind[pairs.to(kind.device)].T
    return torch.from_numpy(table).to(kind.device)[head, tail].to(pairs.device)


def _is_pair_of_types(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(name, str) and name for name in pair)
