"""Silver corpora whose truth is known: for measuring how well wrong labels are found.

`fewrel`, `semeval`: clean labels, a share of which is flipped: `uniform` to any other relation, `pair` to the next in
sorted order, `direction` to the same relation the other way round (SemEval). `docred`: the facts of Re-DocRED's
development documents, projected by name on other documents. `projection`: those of DocRED's training documents
(52,000 triples), projected on Re-DocRED's development and test documents, which judge them, and on unlabelled ones.
`cdr`: the facts of CDR's training documents projected by identifier on its development documents, and the reverse.

Settings are chosen on one part of the judged labels (`--half choose`), figures are those of the other (`report`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from zlib import crc32

import numpy as np

from finecl_hf import Document, read_documents
from finecl_hf.data.documents import NA, Fact
from finecl_hf.distant.knowledge_base import KnowledgeBase, project
from finecl_hf.errors import FineCLError
from finecl_hf.synthetic.label_flips import flip_labels


@dataclass
class NoisyCorpus:
    """Silver documents, and whether each judged label is right: instance id -> bool."""

    documents: list[Document]
    truth: dict[str, bool]


def fewrel(folder: Path, args, seed: int) -> NoisyCorpus:
    path = folder if folder.is_file() else folder / "fewrel" / "val_wiki.json"
    documents = read_documents(path)
    return _flipped(documents, args, seed, most=2400)


def semeval(folder: Path, args, seed: int) -> NoisyCorpus:
    documents = read_documents(folder / "semeval2010" / "TRAIN_FILE.TXT")
    return _flipped([document for document in documents if document.label != NA], args, seed, most=2400)


def _flipped(documents: list[Document], args, seed: int, most: int) -> NoisyCorpus:
    chosen = np.random.default_rng(seed).permutation(len(documents))[: args.max_instances or most]
    documents = [documents[place] for place in chosen]
    flip = _reversed if args.noise == "direction" else flip_labels
    return NoisyCorpus(*(flip(documents, args.rate, args.noise, seed)))


def _reversed(documents: list[Document], rate: float, kind: str, seed: int) -> tuple[list[Document], dict[str, bool]]:
    """Gives a share of directed labels the other direction."""
    other = {"(e1,e2)": "(e2,e1)", "(e2,e1)": "(e1,e2)"}
    flipped = set(np.random.default_rng(seed).permutation(len(documents))[: round(rate * len(documents))].tolist())
    noisy, truth = [], {}
    if undirected := [document.label for document in documents if document.label[-7:] not in other]:
        raise FineCLError(
            f'--noise direction: "{undirected[0]}" has no direction such as (e1,e2) at its end; take another '
            "corpus, or another --noise."
        )
    for place, document in enumerate(documents):
        fact, relation = document.relations[0], document.label
        turned = relation[:-7] + other[relation[-7:]] if place in flipped else relation
        noisy.append(replace(document, relations=[Fact(fact.head, fact.tail, turned)]))
        truth[document.instance_id(noisy[-1].relations[0])] = place not in flipped
    return noisy, truth


def docred(folder: Path, args, seed: int) -> NoisyCorpus:
    facts = KnowledgeBase.from_documents(read_documents(folder / "redocred" / "dev_revised.json"))
    gold = read_documents(folder / "redocred" / "test_revised_first250.json")
    others = read_documents(folder / "docred" / "test_unlabelled.json")
    return _projected(gold, others, facts, lambda document: _half(document) == args.half, args, seed)


def projection(folder: Path, args, seed: int) -> NoisyCorpus:
    facts = knowledge_base(folder / "docred" / "train_facts.tsv")
    chosen = read_documents(folder / "redocred" / "dev_revised.json")
    reported = read_documents(folder / "redocred" / "test_revised_first250.json")
    others = read_documents(folder / "docred" / "test_unlabelled.json")
    names = {document.title for document in (chosen if args.half == "choose" else reported)}
    return _projected(chosen + reported, others, facts, lambda document: document.title in names, args, seed)


def knowledge_base(path: Path) -> KnowledgeBase:
    """The facts of a table: name of the head, relation, name of the tail.

    Raises:
        FineCLError: there is none, or a line holds something else.
    """
    facts = KnowledgeBase()
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        cells = line.split("\t")
        if len(cells) != 3 or not all(cells):
            raise FineCLError(f"{path}, line {number}: expected head, relation and tail, with tabs; correct it.")
        facts.add([cells[0]], cells[1], [cells[2]])
    if not lines:
        raise FineCLError(f"{path}: the table is empty; write a fact on each line.")
    return facts


def cdr(folder: Path, args, seed: int) -> NoisyCorpus:
    parts = [read_documents(folder / "cdr" / f"CDR_{name}Set.PubTator.txt.gz") for name in ("Training", "Development")]
    documents, truth = [], {}
    for target, source in (parts, parts[::-1]):
        facts = {
            (head, fact.relation, tail)
            for document in source
            for fact in document.relations
            for head, tail in product(_ids(document, fact.head), _ids(document, fact.tail))
        }
        for document in target:
            right = {(fact.head, fact.tail, fact.relation) for fact in document.relations}
            silver = [
                Fact(head, tail, relation)
                for head, tail in document.judged_pairs
                for relation in sorted({name for _, name, _ in facts})
                if any((h, relation, t) in facts for h, t in product(_ids(document, head), _ids(document, tail)))
            ]
            documents.append(replace(document, relations=silver))
            if args.half in ("both", _half(document)):
                truth |= {
                    document.instance_id(fact): (fact.head, fact.tail, fact.relation) in right for fact in silver
                }
    silver = [document for document in documents if document.relations]
    return NoisyCorpus(_up_to(args.max_instances, silver, seed), truth)


def _ids(document: Document, entity: int) -> set[str]:
    return {mention.kb_id for mention in document.entities[entity] if mention.kb_id}


def _projected(
    gold: list[Document], others: list[Document], knowledge_base: KnowledgeBase,
    counts: Callable[[Document], bool], args, seed: int,
) -> NoisyCorpus:  # fmt: skip
    right = {document.instance_id(fact) for document in gold for fact in document.relations}
    judged = project(gold, knowledge_base)
    truth = {
        instance: instance in right
        for document in judged
        if args.half == "both" or counts(document)
        for instance in map(document.instance_id, document.relations)
    }
    known = {document.title for document in gold}  # some documents are in both
    others = [document for document in others if document.title not in known]
    silver = [document for document in judged + project(others, knowledge_base) if document.relations]
    return NoisyCorpus(_up_to(args.max_instances, silver, seed), truth)  # the rest teaches little


def _half(document: Document) -> str:
    return "report" if crc32(f"{document.title}x".encode()) % 2 else "choose"


def _up_to(count: int | None, documents: list[Document], seed: int) -> list[Document]:
    """Documents in random order until they hold `count` labels."""
    if count is None:
        return documents
    order = np.random.default_rng(seed).permutation(len(documents))
    labels = np.cumsum([len(documents[i].relations) for i in order])
    return [documents[i] for i in order[: np.searchsorted(labels, count) + 1]]


CORPORA: dict[str, Callable[..., NoisyCorpus]] = {
    "fewrel": fewrel, "semeval": semeval, "docred": docred, "projection": projection, "cdr": cdr,
}  # fmt: skip
FLIPPED = ("fewrel", "semeval")
