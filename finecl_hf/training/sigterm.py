"""SIGTERM: training saves a checkpoint and ends; anything else just ends. The same command goes on."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from transformers import TrainerCallback


logger = logging.getLogger(__name__)

EXIT_STATUS = 128 + signal.SIGTERM  # 143, as shells report it
INTERRUPTED = 128 + signal.SIGINT  # 130, after Ctrl-C


@contextmanager
def on_sigterm(handler: Callable) -> Iterator[None]:
    """Handles SIGTERM within a `with`; whatever handled it before does so again afterwards.

    Only the main thread may handle signals: elsewhere nothing changes. Processes that are forked meanwhile, such as
    those that tokenise, end as ever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def handle(number, frame):
        if os.getpid() == owner:
            return handler(number, frame)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)  # None: not Python's


class StopCallback(TrainerCallback):
    """Ends training with a checkpoint after SIGTERM, in all processes at the same step.

    The run ends by `SystemExit(143)` right behind the checkpoint, as if it had been killed there: nothing of what
    follows a finished training (best model, table, final model) is done, since it would be taken for that of a whole
    run. Where the step is the last one of an epoch, what belongs to the epoch's end comes first: a resumed run
    begins with the next epoch.

    Args:
        any_process: whether any process passes True; every process calls it at the same time.
        wait: returns when all processes have called it.
    """

    def __init__(self, any_process: Callable[[bool], bool], wait: Callable[[], None]):
        self._any_process, self._wait = any_process, wait
        self.requested = False  # of this process
        self.agreed = False  # with all others; set by the trainer before each step of the optimiser
        self._listening = False
        self._closing = False  # between the last step of an epoch and its end
        self._saved_step: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Notes SIGTERM within a `with`, in place of ending the process."""
        self.requested, self.agreed, self._listening, self._saved_step = False, False, True, None
        try:
            with on_sigterm(self._request):
                yield
        finally:
            self._listening = False

    def leave_if_requested(self) -> None:
        """Ends a run that was asked to stop when its training was over."""
        if self._agree():
            self._leave("when training was over; the same command goes on with what follows it", True)

    def _request(self, number, frame) -> None:
        self.requested = True

    def on_step_end(self, args, state, control, **kwargs):
        self._closing = control.should_training_stop or float(state.epoch).is_integer()
        if self.agreed and not self._closing:
            control.should_save = True

    def on_evaluate(self, args, state, control, **kwargs):
        if self._listening and self._agree():
            self._save_or_leave(args, state, control)

    def on_epoch_end(self, args, state, control, **kwargs):
        self._closing = False
        if self._agree():
            self._save_or_leave(args, state, control)

    def on_save(self, args, state, control, **kwargs):
        self._saved_step = state.global_step
        if self._agree() and not self._closing:
            self._save_or_leave(args, state, control)

    def _agree(self) -> bool:
        self.agreed = self.agreed or self._any_process(self.requested)
        return self.agreed

    def _save_or_leave(self, args, state, control) -> None:
        # A checkpoint that is whole is never written again: a kill would leave half of each
        if self._saved_step != state.global_step:
            control.should_save = True
            return
        folder = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")
        self._leave(
            f"after step {state.global_step:,}; {folder} is saved, and the same command goes on from there",
            state.is_world_process_zero,
        )

    def _leave(self, when: str, speaks: bool) -> None:
        self._wait()  # the process that writes is the last one
        if speaks:
            logger.warning("Stopped by SIGTERM %s.", when)
        raise SystemExit(EXIT_STATUS)
