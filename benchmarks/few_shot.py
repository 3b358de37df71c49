"""How well does an encoder tell relations apart from a few examples of each, without training?

    python benchmarks/few_shot.py --documents val_wiki.json --model all-MiniLM-L6-v2 outputs/encoder

FewRel's protocol (Han et al., EMNLP 2018): an episode draws N relations, K support sentences and some queries of each;
a query gets the relation whose prototype, the mean of its support pairs' normalised embeddings `[e_h; e_t]`, is
nearest by cosine. Sentences are embedded once for all episodes. The interval holds the mean over all episodes with
95 % probability; `seeds` are the means of the seeds. `--center` subtracts the mean pair of an episode's support, and
gives head and tail equal length, as `RelationPrototypes` does. `--relations choose` takes every other relation, sorted
by id, to choose settings on, and `report` the rest; those that `--leave_out` names (a rel_info.json) take no part. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
import torch.nn.functional as F

from benchmarks.running import count, run_benchmark
from finecl_hf import read_documents
from finecl_hf.data.documents import NA
from finecl_hf.data.relation_names import read_relation_names
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.embedder import RelationEmbedder


HALVES = {"all": slice(None), "choose": slice(0, None, 2), "report": slice(1, None, 2)}  # of the sorted relations
CHUNK = 2**24  # numbers of the embeddings of episodes that are made at a time


def main(argv=None):
    args = parse(argv)
    left_out = set(read_relation_names(args.leave_out, "--leave_out"))
    documents = read_documents(args.documents)
    if args.leave_out:
        found = len(left_out & {document.label for document in documents})
        print(f"{found} relations of {args.documents} are left out; {args.leave_out} names {len(left_out)}.")
    documents = first_of_each(documents, args.sentences, args.relations, left_out)
    if not documents:
        raise FineCLError(
            f"--documents {args.documents}: no labelled sentence is left by --relations {args.relations} and "
            f"--leave_out {args.leave_out}; name labelled sentences of other relations."
        )
    start, rows = time.perf_counter(), []
    for model in args.model:
        embedder = RelationEmbedder(
            model, entity_markers=args.entity_markers, hide_names=args.hide_names, num_layers=args.num_layers,
            device=args.device,
        )  # fmt: skip
        halves, table = embed(embedder, documents)
        for ways in args.ways:
            for shots in args.shots:
                row = {"model": model, "ways": ways, "shots": shots}
                row |= accuracy(halves, table, ways, shots, args)
                print(f"{model}  {ways}-way {shots}-shot  {row['accuracy']:.4f} ± {row['interval']:.4f}", flush=True)
                rows.append(row)
    settings = (
        "sentences",
        "queries",
        "episodes",
        "seeds",
        "relations",
        "leave_out",
        "center",
        "num_layers",
        "entity_markers",
        "hide_names",
    )
    result = {**{name: getattr(args, name) for name in settings}, "results": rows}
    result["seconds"] = round(time.perf_counter() - start)
    print(json.dumps(result))
    return result


def parse(argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", required=True, help="labelled sentences, in any supported format")
    parser.add_argument("--model", nargs="+", required=True, help="folder or Hub id of each encoder")
    parser.add_argument("--ways", type=count, nargs="+", default=[5, 10])
    parser.add_argument("--shots", type=count, nargs="+", default=[1, 5])
    parser.add_argument("--sentences", type=count, help="take the first so many of each relation only")
    parser.add_argument("--queries", type=count, default=5, help="of each relation in an episode")
    parser.add_argument("--episodes", type=count, default=10_000, help="over all seeds")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--relations", choices=HALVES, default="all")
    parser.add_argument("--leave_out", help="relations that pre-training has seen, as a rel_info.json")
    parser.add_argument("--center", action="store_true")
    parser.add_argument("--num_layers", type=int, help="take an earlier layer's hidden states")
    parser.add_argument("--entity_markers")
    parser.add_argument("--hide_names")
    parser.add_argument("--device")
    return parser.parse_args(argv)


def first_of_each(documents, most: int | None, relations: str, left_out: Collection[str] = ()):
    """The first so many sentences of each relation of a half, but for those that are left out of it."""
    half = set(sorted({document.label for document in documents} - {NA})[HALVES[relations]]).difference(left_out)
    seen: Counter[str] = Counter()
    kept = []
    for document in documents:
        if document.label not in half:
            continue
        seen[document.label] += 1
        if most is None or seen[document.label] <= most:
            kept.append(document)
    return kept


def embed(embedder: RelationEmbedder, documents) -> tuple[torch.Tensor, torch.Tensor]:
    """Head and tail vectors (P, 2, D) of all labelled pairs, and the rows (R, M) of each relation, -1 for none."""
    found = embedder.encode(documents, only_labelled=True)
    labels = sorted(set(found.label_relation))
    rows = [torch.from_numpy(found.label_pair[found.label_relation == label]) for label in labels]
    if not rows:
        raise FineCLError("no sentence is labelled; name labelled ones with --documents.")
    table = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
    return found.entities[found.pairs], table


def accuracy(halves: torch.Tensor, table: torch.Tensor, ways: int, shots: int, args) -> dict:
    """Mean accuracy over the episodes of all seeds, its 95 % interval, and each seed's mean."""
    least = int((table >= 0).sum(dim=1).min())
    if ways > len(table) or shots + args.queries > least:
        raise FineCLError(
            f"{ways} ways, {shots} shots and {args.queries} queries need {ways} relations of {shots + args.queries} "
            f"sentences each; there are {len(table)}, the rarest of {least}."
        )
    size = max(1, CHUNK // (ways * (shots + args.queries) * halves[0].numel()))
    each = -(-args.episodes // len(args.seeds))
    by_seed = []
    for seed in args.seeds:
        generator = torch.Generator().manual_seed(seed)
        parts = [
            judge(
                halves[draw(table, ways, shots + args.queries, min(size, each - done), generator)], shots, args.center
            )
            for done in range(0, each, size)
        ]
        by_seed.append(torch.cat(parts))
    every = torch.cat(by_seed)
    if len(every) < 2:
        raise FineCLError("one episode has no interval; raise --episodes.")
    return {
        "accuracy": round(float(every.mean()), 4),
        "interval": round(float(1.96 * every.std() / len(every) ** 0.5), 4),
        "seeds": [round(float(part.mean()), 4) for part in by_seed],
    }


def draw(table: torch.Tensor, ways: int, sentences: int, episodes: int, generator: torch.Generator) -> torch.Tensor:
    """(episodes, ways, sentences) rows: different relations, and different sentences of each."""
    relation = torch.rand(episodes, len(table), generator=generator).topk(ways, dim=1).indices
    rows = table[relation]  # (episodes, ways, M)
    keys = torch.rand(rows.shape, generator=generator).masked_fill(rows < 0, -1)
    return rows.gather(2, keys.topk(sentences, dim=2).indices)


def judge(halves: torch.Tensor, shots: int, center: bool) -> torch.Tensor:
    """The accuracy of each episode.

    Args:
        halves: (episodes, ways, shots + queries, 2, D) head and tail vectors, those of the support first.
    """
    if center:
        halves = F.normalize(halves - halves[:, :, :shots].mean(dim=(1, 2), keepdim=True), dim=-1)
    pairs = F.normalize(halves.flatten(3), dim=-1)
    prototypes = F.normalize(pairs[:, :, :shots].mean(dim=2), dim=-1)  # (episodes, ways, 2D)
    nearest = torch.einsum("enqd,emd->enqm", pairs[:, :, shots:], prototypes).argmax(dim=-1)
    right = nearest == torch.arange(halves.shape[1], device=halves.device)[:, None]
    return right.float().mean(dim=(1, 2))


if __name__ == "__main__":
    run_benchmark(main)
