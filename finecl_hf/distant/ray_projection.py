"""`finecl-hf project --ray`: documents are labelled by the workers of a Ray cluster, a window at a time.

What needs the whole corpus is done by the command itself: it gathers the names, scans the knowledge base once for what
lies between them, and adds the workers' counts up. What a label depends on besides is its own document.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice

from finecl_hf.data.documents import Document
from finecl_hf.data.held_out import HeldOutPairs
from finecl_hf.data.json_writing import encoded
from finecl_hf.data.ray_cluster import in_pieces
from finecl_hf.data.readers import valid_documents
from finecl_hf.distant.join import AmbiguousPair, AmbiguousPairs, KnownFacts, PartialJoin
from finecl_hf.distant.projection import ProjectionOptions, ProjectionReport, in_step, silver
from finecl_hf.distant.triple_tables import scanning


WINDOW = 512  # documents that a worker is given at a time


class RayProjection:
    """Labels the documents of a file on a cluster; [`project_files`] takes it for `spread`.

    Args:
        num_workers: at most; None for one on each core of the cluster.
    """

    def __init__(self, num_workers: int | None = None):
        self.num_workers = num_workers

    def __call__(
        self,
        source: str,
        known: KnownFacts,
        held_out: HeldOutPairs,
        options: ProjectionOptions,
        report: ProjectionReport,
        encode: bool,
    ) -> Iterator[dict | bytes]:
        ambiguous = AmbiguousPairs()
        read = partial(_windows, source, WINDOW)
        arguments = known, held_out, options, encode
        for rows, counts, pairs in in_pieces(read, _Worker, arguments, self.num_workers, with_gpu=False):
            report.add(counts)
            ambiguous.add(pairs)
            yield from rows
        ambiguous.tell(report.join)


class _Worker:
    """The projection on one machine of the cluster."""

    def __init__(self, known: KnownFacts, held_out: HeldOutPairs, options: ProjectionOptions, encode: bool):
        self.held_out, self.options, self.encode = held_out, options, encode
        with scanning("a worker of --ray"):
            self.join = PartialJoin(known, options.memory_gb)

    def __call__(self, window: list[Document]) -> tuple[list[dict | bytes], ProjectionReport, list[AmbiguousPair]]:
        with scanning("a worker of --ray"):
            labels, pairs = self.join.labels_of(window)
        report = ProjectionReport()
        rows = (
            document.to_dict() for document in silver(in_step(window, labels), self.held_out, self.options, report)
        )
        return [encoded(row) if self.encode else row for row in rows], report, pairs


def _windows(source: str, size: int) -> Iterator[list[Document]]:
    documents = valid_documents(source, skip_invalid=True, quiet=True)
    while window := list(islice(documents, size)):
        yield window
