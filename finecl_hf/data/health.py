"""Is there anything wrong with these files? From the [`Tally`] of each file to findings that people act on.

A finding is `ok`, worth a `look`, or `wrong`: then a run on these files stops, or its figures say nothing. Where a
bound is a matter of judgement, it stands below with what real corpora have.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from textwrap import wrap
from typing import Any

import numpy as np

from finecl_hf.data.tally import Signature, Tally, facts_in, shared


OK, LOOK, WRONG = "ok", "look", "wrong"
RARE = 10  # training facts; of fewer, a relation is hardly learned
RARE_SHARE = 0.05  # of the facts of a file that may be of rare relations (Re-DocRED: 0.2 %)
FEW, MANY = 10, 200  # facts from which on the habits of a relation, and of all together, are judged
SYMMETRIC, COMPLETE = 0.5, 0.95  # share of facts with their reverse: a symmetric relation, a complete one (gold: 1.0)
MISPLACED = 0.01  # share of names that are not at their positions (Re-DocRED: 0.0002)
LOOPS = 0.01  # share of facts whose arguments share a name (Re-DocRED: 0.0006, SemEval: 0.0009)
ODD = 0.01  # share of facts that stand alone with their types (Re-DocRED: 0.003)
NEW_TYPES = 0.1  # share of facts whose types their relation never has in training (Re-DocRED: 0.009)
COPIES = 0.01  # share of documents or sentences that occur twice, or in training, too (Re-DocRED, SemEval: <= 0.006)
KNOWN_PAIRS = 0.5  # share of facts about entity pairs that training has facts of, too (Re-DocRED, SemEval: 0.07)
DENSITY = 2  # times that pairs of one file may have relations more often than those of another
EMPTY = 0.5  # share of documents without a fact (Re-DocRED: 0.002)
ONE_ORDER = 0.99  # share of facts whose head comes first in the text (Re-DocRED: 0.46)
CLEAR = 0.8  # share of a relation's facts that have the same types: a clear majority
# What types tell of relations, from 0 to 1 (Re-DocRED: 0.69; labels at other pairs: 0.06 to 0.11; shuffled: 0.00)
WEAK, NOTHING = 0.15, 0.02


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at, in a word or two; mark: `ok`, `look` or `wrong`.
        found: what there is, with numbers; means: what follows from it; advice: what to do.
        figures: the numbers, for programs.
    """

    check: str
    mark: str
    found: str
    means: str = ""
    advice: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


def data_findings(tallies: list[Tally], task: str, names: dict[str, str] | None = None) -> list[Finding]:
    """All findings that need no encoder.

    Args:
        tallies: of the training file, then of the others.
        task: `document` or `sentence`.
        names: relations of a `rel_info` file, which are the label set then.
    """
    checks = (
        _problems, _positions, _labels, _relations, _rare, _look_alikes, _density, _sentences, _symmetry, _order,
        _loops, _types, _signatures, _new_signatures, _copies_within, _copies_between, _known_pairs,
    )  # fmt: skip
    return [finding for check in checks for finding in check(tallies, task, names or {})]


def report(findings: list[Finding], width: int = 100) -> str:
    """Findings as text: a line each where all is well, with meaning and advice where it is not."""
    lines = []
    for finding in findings:
        lines += _wrapped(f"{finding.mark:<6}{finding.check:<18}", finding.found, width)
        for name, text in (("means:", finding.means), ("do:", finding.advice)):
            if text and finding.mark != OK:
                lines += _wrapped(f"{'':<16}{name:<8}", text, width)
    counts = {mark: sum(finding.mark == mark for finding in findings) for mark in (WRONG, LOOK, OK)}
    told = f"{counts[WRONG]} wrong, {counts[LOOK]} to look at, {counts[OK]} ok."
    return "\n".join([*lines, "", told])


def as_json(findings: list[Finding]) -> list[dict[str, Any]]:
    """Findings as objects of JSON."""
    return [asdict(finding) for finding in findings]


def _wrapped(start: str, text: str, width: int) -> list[str]:
    return wrap(text, width, initial_indent=start, subsequent_indent=" " * 24, break_long_words=False)


# What stops a run -----------------------------------------------------------------------------------


def _problems(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    told = ", ".join(f"{tally.documents:,} in {tally.role}" for tally in tallies)
    bad = [tally for tally in tallies if tally.problems]
    if not bad:
        yield Finding("documents", OK, f"all valid: {told}.")
    for tally in bad:
        kinds = "; ".join(f"{count:,} x {kind}" for kind, count in tally.problems.most_common(3))
        yield Finding(
            "documents", WRONG,
            f"{tally.problems.total():,} of {tally.role} are invalid, {tally.documents:,} valid: {kinds}.",
            f"A run stops here. The first: {tally.first_problem}",
            f"`finecl-hf validate {tally.name}` lists them; `--skip_invalid true` leaves them out.",
            {"role": tally.role, "invalid": tally.problems.total()},
        )  # fmt: skip


def _positions(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    for tally in tallies:
        seen = tally.positions
        figures = {"role": tally.role, "misplaced": seen.elsewhere, "mentions": seen.mentions}
        found = f"{tally.role}: {seen.elsewhere:,} of {seen.mentions:,} names do not stand at their positions"
        if seen.problem:
            means = "The model reads other words than the mentions."
            yield Finding("positions", WRONG, f"{tally.role}: {seen.problem}", means, "Shift `pos`.", figures)
        elif seen.elsewhere > MISPLACED * max(seen.mentions, 1):
            yield Finding(
                "positions", LOOK, f"{found}: {'; '.join(tally.misplaced)}.",
                "Either names are spelt in another way than in the text, which does no harm, or `pos` is wrong there, "
                "and the model reads other words than the mentions.",
                "Look at these; `pos` is [start, end) in words of the sentence, from 0.", figures,
            )  # fmt: skip
        else:
            yield Finding("positions", OK, f"{found}.", figures=figures)


def _labels(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    for tally in tallies:
        train = tally.role == "train"
        if tally.facts.total() == 0 and (train or tally.role == "dev"):
            means = "There is nothing to learn from." if train else "No threshold can be fitted on it."
            yield Finding(
                "labels", WRONG, f"{tally.role} has no fact at all: {tally.unlabelled:,} of {tally.documents:,} "
                "documents are without `labels`.", means, "Check the key `labels`; name another file.",
            )  # fmt: skip
        elif tally.unlabelled and tally.role == "dev":
            yield Finding(
                "labels", WRONG, f"{tally.unlabelled:,} of {tally.documents:,} dev documents have no `labels`.",
                "A run refuses it: a document without facts has an empty list.", "Add the labels.",
            )  # fmt: skip
        elif 0 < tally.unlabelled < tally.documents:
            means = "They count as documents without facts in training, and stop the scoring of a test file."
            yield Finding(
                "labels", LOOK, f"{tally.unlabelled:,} of {tally.documents:,} {tally.role} documents have no "
                "`labels`.", means, "Give documents without facts an empty list, and leave unlabelled ones out.",
            )  # fmt: skip
        if task == "sentence" and not tally.all_sentences:
            yield Finding(
                "task", WRONG, f"{tally.documents - tally.sentences:,} {tally.role} documents have not exactly one "
                "judged pair.", "`--task sentence` refuses them.", "Take `--task document`, or give one pair each.",
            )  # fmt: skip


# The label set --------------------------------------------------------------------------------------


def _relations(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    train = tallies[0]
    yield Finding(
        "relations", OK,
        "; ".join(f"{tally.role} {tally.facts.total():,} facts of {len(tally.facts):,}" for tally in tallies) + ".",
        figures={tally.role: dict(tally.facts) for tally in tallies},
    )  # fmt: skip
    if not train.facts:
        return
    if names and (
        unnamed := {r: sum(t.facts[r] for t in tallies) for t in tallies for r in t.facts if r not in names}
    ):
        yield Finding(
            "relations", WRONG, f"rel_info lacks {_listed(unnamed)}.", "It is the label set: a run stops here.",
            "Add them to rel_info, or drop the labels.", {"missing_in_rel_info": unnamed},
        )  # fmt: skip
    for tally in tallies[1:]:
        new = {relation: count for relation, count in tally.facts.items() if relation not in train.facts}
        if new:
            known = bool(names) and new.keys() <= names.keys()
            share = sum(new.values()) / tally.facts.total()
            yield Finding(
                "relations", LOOK if known else WRONG, f"{tally.role} has {_listed(new)}, which train lacks: "
                f"{sum(new.values()):,} of its facts ({share:.1%}).",
                "No model can learn these from this file." + ("" if known else " A run stops here."),
                "Draw the files anew so that every relation is in training"
                + ("." if known else ", or name all relations in `--rel_info`: these then count as missed."),
                {"role": tally.role, "missing_in_train": new},
            )  # fmt: skip
    if names and (unseen := sorted(names.keys() - train.facts.keys())):
        yield Finding(
            "relations", OK if len(unseen) <= RARE_SHARE * len(names) else LOOK,
            f"{len(unseen):,} of {len(names):,} relations of rel_info never occur in train ({_few(unseen)}).",
            "They can never be predicted, and each is a row of the head.",
            "Fine where another file teaches them; else give a rel_info of the relations that occur.",
            {"unseen": unseen},
        )  # fmt: skip


def _rare(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    train = tallies[0]
    rare = {relation: count for relation, count in train.facts.items() if count < RARE}
    if not rare:
        return
    judged = tallies[-1] if tallies[-1].facts else train
    share = sum(judged.facts[relation] for relation in rare) / max(judged.facts.total(), 1)
    yield Finding(
        "rare relations", LOOK if share > RARE_SHARE or 2 * len(rare) > len(train.facts) else OK,
        f"{_listed(rare)} {'has' if len(rare) == 1 else 'have'} fewer than {RARE} training facts; "
        f"{share:.1%} of the facts of {judged.role} are of these.",
        "They are hardly learned, and class-wise and macro figures of them are noise.",
        "More examples of them (with `--train_fraction`, the share is small), or leave them out.",
        {"rare": rare, "share": share},
    )  # fmt: skip


def _look_alikes(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    for what, values in (
        ("relations", set(names).union(*(tally.facts for tally in tallies))),
        ("entity types", set().union(*(tally.types for tally in tallies))),
    ):
        alike = defaultdict(list)
        for value in sorted(values):
            alike[re.sub(r"[\s_.\-]+", "", value.casefold())].append(value)
        if doubles := [group for group in alike.values() if len(group) > 1]:
            told = "; ".join(" and ".join(f'"{value}"' for value in group) for group in doubles[:4])
            more = f" and {len(doubles) - 4} more" if len(doubles) > 4 else ""
            yield Finding(
                what, WRONG, f"names that differ in case, spaces, hyphens or underscores only: {told}{more}.",
                "Each counts as a class of its own.", "Write each name in one way.", {"alike": doubles},
            )  # fmt: skip


# How facts lie --------------------------------------------------------------------------------------


def _density(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    if task == "sentence":
        return
    labelled = [tally for tally in tallies if tally.facts and tally.judged]
    for tally in labelled:
        documents = tally.documents - tally.unlabelled
        na, empty = 1 - tally.labelled / tally.judged, tally.without_facts / documents
        several = tally.multi_label / tally.labelled
        figures = {"role": tally.role, "na": na, "facts_a_document": tally.facts.total() / documents,
                   "without_facts": empty, "multi_label": several}  # fmt: skip
        found = (
            f"{tally.role}: {na:.1%} of the pairs are NA; {figures['facts_a_document']:.1f} facts a document, "
            f"{empty:.1%} of the documents have none; {several:.1%} of the labelled pairs have several."
        )
        if na == 0:
            means = "A model that never sees a pair without a relation finds one between any two entities."
            yield Finding("NA", LOOK, found, means, "Give documents with all of their entities.", figures)
        elif empty > EMPTY:
            means = "Mostly NA is learned; where labels are merely missing, it is learned wrongly."
            yield Finding("NA", LOOK, found, means, "Leave such documents out where they are unlabelled.", figures)
        else:
            yield Finding("NA", OK, found, figures=figures)
    shares = {tally.role: tally.labelled / tally.judged for tally in labelled}
    if shares and (least := min(shares, key=shares.get)) != (most := max(shares, key=shares.get)):
        if shares[most] > DENSITY * shares[least]:
            yield Finding(
                "NA", LOOK, f"a pair has a relation {shares[most] / shares[least]:.1f} times as often in {most} "
                f"({shares[most]:.1%}) as in {least} ({shares[least]:.1%}).",
                f"Either labels of {least} are missing, so that true facts are taught or counted as NA, or the files "
                "are of different kinds.",
                "Compare some documents of both by hand; with missing labels, train with `--loss pu_bce`, and "
                "fit the threshold on complete labels.", {"labelled_share": shares},
            )  # fmt: skip


def _sentences(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    if task != "sentence":
        return
    for tally in (tally for tally in tallies if tally.facts):
        na = tally.without_facts / (tally.documents - tally.unlabelled)
        figures = {"role": tally.role, "na": na, "multi_label": tally.multi_label}
        found = f"{tally.role}: {na:.1%} of the sentences are NA."
        if tally.multi_label:
            yield Finding(
                "NA", LOOK, f"{found} {tally.multi_label:,} have several relations.",
                "`--task sentence` takes the first for the only one.", "Keep one, or take `--task document`.", figures,
            )  # fmt: skip
        else:
            yield Finding("NA", OK, found, figures=figures)
    shares = {tally.role: tally.without_facts / tally.documents for tally in tallies if tally.facts}
    if 0 in shares.values() and any(shares.values()):
        yield Finding(
            "NA", LOOK,
            f"{' and '.join(role for role, share in shares.items() if not share)} never says NA, the others do.",
            "A model that never saw NA predicts a relation everywhere.", "Add sentences without a relation.",
        )  # fmt: skip


def _symmetry(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    if task == "sentence":
        return
    frequent = {relation for tally in tallies for relation, count in tally.facts.items() if count >= FEW}
    symmetric = {
        relation for relation in frequent
        if any(t.facts[relation] >= FEW and t.reversed[relation] >= SYMMETRIC * t.facts[relation] for t in tallies)
    }  # fmt: skip
    if not symmetric:
        return
    for tally in (tally for tally in tallies if tally.facts):
        shares = {r: tally.reversed[r] / tally.facts[r] for r in sorted(symmetric) if tally.facts[r] >= FEW}
        partly = {relation: share for relation, share in shares.items() if share < COMPLETE}
        if not partly:
            verbs = ("holds", "is") if len(shares) == 1 else ("hold", "are")
            found = f"{tally.role}: {_few(sorted(shares))} {verbs[0]} both ways, and {verbs[1]} labelled both ways."
            if shares:
                yield Finding("symmetry", OK, found, figures={"role": tally.role, "reversed": shares})
            continue
        lacking = sum(tally.facts[relation] - tally.reversed[relation] for relation in partly)
        told = _few([f"{_named(relation, names)} {share:.0%}" for relation, share in partly.items()])
        yield Finding(
            "symmetry", LOOK, f"{tally.role}: relations that hold both ways are labelled one way only: {told} of the "
            f"facts have their reverse; {lacking:,} lack it.",
            "The lacking ones are taught, or counted, as NA, which contradicts the others.",
            "Add the reversed facts, in all files alike.", {"role": tally.role, "reversed": shares},
        )  # fmt: skip


def _order(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    train, count = tallies[0], tallies[0].facts.total()
    directed = any(re.search(r"\(e[12],e[12]\)$", relation) for relation in train.facts)
    if count < 5 * FEW:
        return
    share = train.head_first / count
    found = f"in {share:.1%} of the training facts the head comes first in the text"
    if directed:
        single = [r for r in train.facts if _turned(r) != r and _turned(r) not in train.facts]
        told = f"; only one direction of {_few(single)} occurs" if single else "; both directions of each occur"
        yield Finding("direction", OK, f"{found}: the labels say the direction{told}.", figures={"single": single})
    elif max(share, 1 - share) > ONE_ORDER:
        yield Finding(
            "direction", LOOK, f"{found}.", "The labels may be of unordered pairs, written in the order of the text: "
            "nothing tells the head from the tail, and the reverse of each is taught as NA.",
            "Where head and tail have roles, order them by these.", {"head_first": share},
        )  # fmt: skip
    else:
        yield Finding("direction", OK, f"{found}.", figures={"head_first": share})


def _turned(relation: str) -> str:
    turn = {"(e1,e2)": "(e2,e1)", "(e2,e1)": "(e1,e2)"}
    return re.sub(r"\(e[12],e[12]\)$", lambda end: turn.get(end[0], end[0]), relation)


def _loops(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    for tally in (tally for tally in tallies if tally.facts):
        share = tally.loops / tally.facts.total()
        figures = {"role": tally.role, "loops": tally.loops}
        found = f"{tally.role}: head and tail of {tally.loops:,} facts ({share:.1%}) share a name."
        if share > LOOPS:
            means = "One thing is listed as two entities, or a fact joins a thing with itself."
            yield Finding("self loops", LOOK, found, means, "Merge the mentions into one entity.", figures)
        elif tally.loops:
            yield Finding("self loops", OK, found, figures=figures)


# Entity types ---------------------------------------------------------------------------------------


def _types(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    missing = {tally.role: tally.types[""] / max(tally.types.total(), 1) for tally in tallies}
    if all(share == 1 for share in missing.values()):
        yield Finding("entity types", OK, "none are given; nothing needs them, what uses types is without effect.")
        return
    if any(missing.values()):
        told = ", ".join(f"{share:.1%} of {role}" for role, share in missing.items() if share)
        yield Finding(
            "entity types", LOOK, f"missing from entities: {told}.", "They count as a type of their own.",
            "Fill in `type`, or leave it out everywhere.", {"missing": missing},
        )  # fmt: skip
    kinds = {tally.role: set(tally.types) - {""} for tally in tallies}
    only = {role: types - set().union(*(o for r, o in kinds.items() if r != role)) for role, types in kinds.items()}
    if len(kinds) > 1 and any(only.values()) and all(kinds.values()):
        told = "; ".join(f"{_few(sorted(types))} in {role}" for role, types in only.items() if types)
        yield Finding(
            "entity types", LOOK, f"only one file has them: {told}.",
            "A model that reads types meets them unprepared: are two type systems mixed?", "Use one in all files.",
            {"only_in": {role: sorted(types) for role, types in only.items()}},
        )  # fmt: skip
    elif not any(missing.values()):
        yield Finding(
            "entity types", OK, f"{len(kinds['train'])}, the same in all files: {_few(sorted(kinds['train']))}."
        )


def _signatures(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    for tally in _typed(tallies):
        told = types_tell(tally)
        if told is not None and told < WEAK:
            yield _of_weak_types(tally, told)
            continue
        odd = list(_odd(tally))
        share = len(odd) / tally.facts.total()
        some = [f"{tally.example[s]}: {_told(s, names)}" for s in odd[:3]]
        yield Finding(
            "types and labels", LOOK if share > ODD else OK, f"{tally.role}: {len(odd):,} facts ({share:.1%}) are the "
            f"only ones of their relation with these types{', such as ' + '; '.join(some) if some else ''}.",
            "Of these, many are wrong: of the label, of a type, or of the direction.", "Look at some of them.",
            {"role": tally.role, "types_tell": told, "odd": [list(signature) for signature in odd]},
        )  # fmt: skip


def _typed(tallies: list[Tally]) -> list[Tally]:
    return [tally for tally in tallies if len(set(tally.types) - {""}) > 1 and tally.facts]


def _of_weak_types(tally: Tally, told: float) -> Finding:
    nothing = told < NOTHING
    return Finding(
        "types and labels", WRONG if nothing else LOOK,
        f"{tally.role}: the types of head and tail have {'nothing' if nothing else 'little'} to do with the relation: "
        f"they tell {max(told, 0):.0%} of what they could.",
        "Relations stand at the wrong pairs: labels were shuffled, or h and t number other entities than vertexSet "
        f"holds (from 1, or before entities were dropped){'' if nothing else '; or types say little in this corpus'}.",
        "Look at some facts with their names, and at what wrote the file.", {"role": tally.role, "types_tell": told},
    )  # fmt: skip


def _new_signatures(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    typed = _typed(tallies)
    if len(typed) < 2 or typed[0].role != "train":
        return
    for tally, other in ((t, o) for t in typed for o in typed if (t is typed[0]) != (o is typed[0])):
        judged = {s: count for s, count in tally.signatures.items() if other.facts[s.relation] >= 5 * FEW}
        new = sum(count for signature, count in judged.items() if signature not in other.signatures)
        share = new / max(sum(judged.values()), 1)
        if share > NEW_TYPES:
            yield Finding(
                "types and labels", LOOK, f"{share:.1%} of the facts of {tally.role} have types that their relation "
                f"never has in {other.role}.", "One of the two has other types, other directions, or wrong labels.",
                "Compare facts of one relation in both.", {"role": tally.role, "other": other.role, "new": share},
            )  # fmt: skip


def _odd(tally: Tally) -> Iterator[Signature]:
    """Signatures that occur once, where most facts of the relation share another."""
    most = defaultdict(int)
    for signature, count in tally.signatures.items():
        most[signature.relation] = max(most[signature.relation], count)
    for signature, count in tally.signatures.items():
        facts = tally.facts[signature.relation]
        if count == 1 and facts >= 2 * FEW and most[signature.relation] >= CLEAR * facts:
            yield signature


def types_tell(tally: Tally) -> float | None:
    """How much of the relation the types of head and tail tell: the mutual information of both, less what it is where
    labels are shuffled, as a share of the most it could be. None where there is too little to judge by."""
    relation, types = (
        np.unique(values, return_inverse=True)[1]
        for values in ([s.relation for s in tally.signatures], [f"{s.head}\t{s.tail}" for s in tally.signatures])
    )
    if tally.facts.total() < MANY or not relation.any() or not types.any():
        return None
    counts = list(tally.signatures.values())
    relation, types = np.repeat(relation, counts), np.repeat(types, counts)
    shuffled = np.mean([_information(relation, np.random.default_rng(seed).permutation(types)) for seed in range(3)])
    most = min(_information(relation, relation), _information(types, types))
    return float((_information(relation, types) - shuffled) / max(most - shuffled, 1e-9))


def _information(left: np.ndarray, right: np.ndarray) -> float:
    """Mutual information of two columns (N,) of numbers from 0, in nats."""
    both = np.unique(left * (right.max() + 1) + right, return_counts=True)[1]
    entropies = [np.bincount(left), np.bincount(right), both]
    left, right, both = (-(c[c > 0] / c.sum() * np.log(c[c > 0] / c.sum())).sum() for c in entropies)
    return float(left + right - both)


# What occurs twice ----------------------------------------------------------------------------------


def _copies_within(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    for tally in tallies:
        content, answer = np.asarray(tally.content), np.asarray(tally.answer)
        copies = len(content) - len(np.unique(content))
        answers = np.unique(np.stack([content, answer], axis=1), axis=0)
        contradictions = len(answers) - len(np.unique(content))
        share = copies / tally.documents
        figures = {"role": tally.role, "copies": copies, "contradictions": contradictions}
        found = f"{tally.role}: {copies:,} documents ({share:.1%}) repeat the words and entities of another one"
        if copies == 0:
            yield Finding("copies", OK, f"{tally.role}: no document occurs twice.", figures=figures)
        elif share > COPIES or contradictions > COPIES * tally.documents:
            yield Finding(
                "copies", LOOK, f"{found}, {contradictions:,} of them with other labels.",
                "Copies weigh double; where their labels differ, no model can be right about both.",
                "Keep one of each.", figures,
            )  # fmt: skip
        else:
            yield Finding("copies", OK, f"{found}, {contradictions:,} of them with other labels.", figures=figures)


def _copies_between(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    for place, tally in enumerate(tallies):
        for other in tallies[:place]:
            same = shared(tally.content, other.content)
            sentences = shared(tally.long_sentences, other.long_sentences)
            titles = len({title for title in tally.titles if not title.isdigit()} & set(other.titles))
            documents, share = int(same.sum()), float(same.mean())
            figures = {"role": tally.role, "other": other.role, "documents": documents, "titles": titles,
                       "sentences": int(sentences.sum())}  # fmt: skip
            found = (
                f"{documents:,} of {tally.documents:,} documents of {tally.role} are in {other.role}, too, as are "
                f"{figures['sentences']:,} of its {len(sentences):,} long sentences; {titles:,} titles are the same."
            )
            if share > COPIES or titles > COPIES * tally.documents and sentences.mean() > COPIES:
                example = next((t for t, copied in zip(tally.titles, same, strict=True) if copied), None)
                yield Finding(
                    "leakage", WRONG, found + (f' Such as "{example}".' if example else ""),
                    f"A model knows them by heart: figures on {tally.role} are too good.",
                    f"Remove them from {other.role}.", figures,
                )  # fmt: skip
            elif documents or titles > COPIES * tally.documents or len(sentences) and sentences.mean() > COPIES:
                means = "These parts of it were seen in training."
                mend = f"Remove them from {other.role}."
                if not documents:
                    mend = "No whole document is to be removed; put texts of one author or one template in one file."
                yield Finding("leakage", LOOK, found, means, mend, figures)
            else:
                yield Finding("leakage", OK, found, figures=figures)


def _known_pairs(tallies: list[Tally], task: str, names: dict[str, str]) -> Iterator[Finding]:
    train = tallies[0]
    for tally in (tally for tally in tallies[1:] if tally.facts and train.facts):
        pairs, triples = (facts_in(tally, train, column) for column in ("pair_names", "triple_names"))
        share = pairs / tally.facts.total()
        found = (
            f"{pairs:,} of {tally.facts.total():,} facts of {tally.role} ({share:.1%}) are about a pair of names that "
            f"train has facts of, {triples:,} of them the same facts."
        )
        yield Finding(
            "known facts", LOOK if share > KNOWN_PAIRS else OK, found,
            "Names alone give them away, without any reading.",
            "Look at Ign F1, which leaves them out; in stages 1 and 2, `--exclude_file` holds them out.",
            {"role": tally.role, "pairs": pairs, "triples": triples},
        )  # fmt: skip


# Words ----------------------------------------------------------------------------------------------


def _listed(counts: dict[str, int]) -> str:
    """`3 relations (P1 x 12, P2 x 5, P3 x 1)`, the frequent ones first."""
    order = sorted(counts, key=lambda relation: (-counts[relation], relation))
    plural = "relation" if len(counts) == 1 else "relations"
    return f"{len(counts):,} {plural} ({_few([f'{relation} x {counts[relation]:,}' for relation in order])})"


def _few(values: Iterable[str], most: int = 5) -> str:
    values = list(values)
    return ", ".join(values[:most]) + (f", and {len(values) - most:,} more" if len(values) > most else "")


def _told(signature: Signature, names: dict[str, str]) -> str:
    head, tail = signature.head or "no type", signature.tail or "no type"
    return f"{_named(signature.relation, names)} from {head} to {tail}"


def _named(relation: str, names: dict[str, str]) -> str:
    return f"{relation} ({names[relation]})" if relation in names and names[relation] != relation else relation
