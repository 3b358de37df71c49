"""The uploads of one run, those among them that go on while it trains."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from finecl_hf.cards.pushing import Destination, reason_of


logger = logging.getLogger(__name__)


class HubPush:
    """Uploads of one run; at most one is under way."""

    def __init__(self):
        self._running: Future | None = None

    @property
    def is_busy(self) -> bool:
        return self._running is not None and not self._running.done()

    def push(self, stage: Callable[[Path], None], destination: Destination, message: str) -> Future:
        """Begins an upload, once the one before it has ended. If that has failed, this one makes up for it.

        Args:
            stage: puts what is to be uploaded into an empty folder.

        Returns:
            What `HfApi.upload_folder` will return.
        """
        if self._running is not None and (error := self._running.exception()) is not None:
            logger.warning("An earlier upload failed (%s); this one holds its files, too.", reason_of(error))
        staged = Path(tempfile.mkdtemp(prefix="finecl_hf_push_"))
        try:
            stage(staged)
            self._running = destination.upload(staged, message)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        self._running.add_done_callback(lambda _: shutil.rmtree(staged, ignore_errors=True))
        return self._running
