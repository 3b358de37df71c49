"""`finecl-hf predict --ray`: the pipeline as the worker of a Ray cluster, a window of texts or documents at a time."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from finecl_hf.data.ray_cluster import in_pieces
from finecl_hf.encoding.encoders import keep_bars_out_of_logs
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.base_encoder import weights_digest
from finecl_hf.extraction.pipeline import WINDOW, RelationExtractionPipeline
from finecl_hf.extraction.prediction_files import Line, PredictOptions, iter_items, lines_of


class RayPrediction:
    """Makes the lines of a file's items on a cluster; [`predict_file`] takes it for `lines`.

    The windows are those of one process, and so are the lines: each is read ahead as a whole and predicted by one
    worker.

    Args:
        extract: the pipeline as it is here, which every worker has to have, too.
        model: its folder, under the same path on every machine, or a Hub id.
        recogniser, device: as of [`RelationExtractionPipeline.from_pretrained`].
        num_workers: at most; None for one on each GPU of the cluster, or on each core.
        base_model: an adapter's encoder, as of [`RelationExtractionPipeline.from_pretrained`].
    """

    def __init__(
        self,
        extract: RelationExtractionPipeline,
        model: str,
        recogniser: str | None = None,
        device: str | None = None,
        num_workers: int | None = None,
        base_model: str | None = None,
    ):
        self.extract, self.num_workers = extract, num_workers
        self.with_gpu = device is None or not str(device).startswith("cpu")
        loading = {"device": device, "recogniser": _absolute(recogniser), "base_model": _absolute(base_model)}
        self.arguments = (_absolute(model), loading, weights_digest(extract.model))

    def __call__(self, source: str, begin: int, options: PredictOptions) -> Iterator[Line]:
        lost: Counter[str] = Counter()
        read = partial(_windows, source, begin, options)
        try:
            for lines, of_window in in_pieces(
                read, _Worker, (*self.arguments, options), self.num_workers, self.with_gpu
            ):
                lost.update(of_window)
                yield from lines
        finally:
            self.extract.tell_losses(lost)


class _Worker:
    """The pipeline on one machine of the cluster."""

    def __init__(self, model: str, loading: dict[str, str | None], digest: str, options: PredictOptions):
        keep_bars_out_of_logs()
        try:
            self.extract = RelationExtractionPipeline.from_pretrained(model, **loading)
        except FineCLError as error:
            raise FineCLError(f"on {socket.gethostname()}: {error}") from error
        if weights_digest(self.extract.model) != digest:
            raise FineCLError(
                f"on {socket.gethostname()}: {model} is another model than here; put the same one on every machine."
            )
        self.options = options

    def __call__(self, window: tuple[int, list[Any]]) -> tuple[list[Line], Counter[str]]:
        first, items = window
        lost: Counter[str] = Counter()
        return list(lines_of(self.extract, items, first, self.options, lost)), lost


def _windows(source: str, begin: int, options: PredictOptions) -> Iterator[tuple[int, list[Any]]]:
    """The items from `begin` on, as many together as one process reads ahead, and the number of the first of each."""
    items = islice(iter_items(source, options), begin, None)
    while window := list(islice(items, WINDOW * options.batch_size)):
        yield begin, window
        begin += len(window)


def _absolute(name: str | None) -> str | None:
    """The name of a file or folder, from wherever a worker runs; a Hub id as it is."""
    return os.path.abspath(name) if name and Path(name).exists() else name
