"""Work in pieces over a Ray cluster: read on this machine, done by workers anywhere, and given back in order."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from finecl_hf.errors import FineCLError


@contextmanager
def ray_cluster(address: str | None = None) -> Iterator[None]:
    """A connection to a cluster for the length of a block; one that is there already is used, and left as it is.

    Args:
        address: `host:port` of a cluster that this machine belongs to; None for the one that `RAY_ADDRESS` names or
            that runs on this machine, and where there is none, for one that begins and ends with the block.

    Raises:
        FineCLError: Ray is not installed, or no cluster answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers
    try:
        import ray
    except ImportError:
        raise FineCLError('--ray: Ray is not installed; run `pip install "finecl_hf[ray]"`.') from None
    if ray.is_initialized():
        yield
        return
    if address and address.startswith("ray://"):
        raise FineCLError(
            f"--ray {address}: this machine is not part of that cluster; run the command on one that is, or by "
            "`ray job submit`, without an address."
        )
    try:
        ray.init(address or None, include_dashboard=False, logging_level="warning")
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise FineCLError(f"--ray {address or ''}: no cluster could be reached or started ({reason}).") from error
    try:
        yield
    finally:
        ray.shutdown()


def in_pieces(
    read: Callable[[], Iterator[Any]],
    worker: type,
    arguments: tuple = (),
    num_workers: int | None = None,
    with_gpu: bool = True,
) -> Iterator[Any]:
    """Yields what workers make of each piece, in the order of the pieces. What a lost worker had in hand is done again
    by another one. Reading waits where Ray's store is filling, so that no corpus is ever in memory.

    Args:
        read: yields the pieces, the same ones whenever it is called; runs on this machine, in this folder.
        worker: made once for each worker; called with a piece.
        arguments: of its constructor.
        num_workers: at most; None for one on each GPU of the cluster, or, where it has none, on each core.
        with_gpu: let each worker have a GPU, where there are any.

    Raises:
        FineCLError: `read` or a worker has raised it; what was done of the pieces before is yielded first.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it tells how each of its runs went
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0)) if with_gpu else 0
    most = num_workers or gpus or max(1, int(resources.get("CPU", 1)))
    context = DataContext.get_current().copy()
    context.execution_options.preserve_order = True
    context.target_max_block_size = 1  # a piece is a block, whatever its size
    context.enable_progress_bars = context.print_on_execution_start = False
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    with DataContext.current(context):
        pieces = ray.data.from_items([os.getcwd()]).map_batches(
            _Reading(read), batch_size=None, num_cpus=0, label_selector=here
        )
        done = pieces.map_batches(
            _Working,
            batch_size=None,
            fn_constructor_args=(worker, arguments),
            compute=ActorPoolStrategy(min_size=1, max_size=most),
            num_cpus=1,
            num_gpus=1 if gpus else 0,
        )
        for row in done.iter_rows():
            found = pickle.loads(row["piece"])
            if isinstance(found, FineCLError):
                raise found
            yield found


class _Reading:
    """The pieces, a row each; an error that ends them is the last one, so that it comes behind what was before it."""

    def __init__(self, read: Callable[[], Iterator[Any]]):
        self.read = read

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, list[bytes]]]:
        os.chdir(batch["item"][0])  # names of files mean what they mean to the command
        try:
            for piece in self.read():
                yield _row(piece)
        except FineCLError as error:
            yield _row(error)


class _Working:
    """A worker; what it cannot do is sent home as it is, without Ray's tracebacks."""

    def __init__(self, worker: type, arguments: tuple):
        try:
            self.work, self.error = worker(*arguments), None
        except FineCLError as error:
            self.error = error

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        (data,) = batch["piece"]
        piece = pickle.loads(data)
        if isinstance(piece, FineCLError) or self.error is not None:
            return _row(piece if self.error is None else self.error)
        try:
            return _row(self.work(piece))
        except FineCLError as error:
            return _row(error)


def _row(piece: Any) -> dict[str, list[bytes]]:
    return {"piece": [pickle.dumps(piece)]}
