"""A headless Chromium that tests tell what to do, over pipes, by its DevTools protocol."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest


FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--remote-debugging-pipe", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # no other host is there
)  # fmt: skip
# The browser takes orders from its file 3 and answers in its file 4
START = """import fcntl, os, sys
files = [fcntl.fcntl(int(file), fcntl.F_DUPFD, 10) for file in sys.argv[1:3]]
for number, file in enumerate(files, 3):
    os.dup2(file, number)
os.execv(sys.argv[3], sys.argv[3:])"""


class Page:
    """A tab of the browser.

    Attributes:
        asked: addresses that the page has asked for.
    """

    def __init__(self, read, write):
        self._read, self._write, self._number, self._buffer, self._session = read, write, 0, b"", None
        self.asked = []
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.tell("Network.enable")

    def tell(self, method, **parameters):
        """Gives an order and waits for its result."""
        self._number += 1
        order = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            order["sessionId"] = self._session
        os.write(self._write, json.dumps(order).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("method") == "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def _next(self):
        while b"\0" not in self._buffer:
            assert select.select([self._read], [], [], 60)[0], "the browser does not answer"
            more = os.read(self._read, 1 << 16)
            assert more, "the browser is gone"
            self._buffer += more
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def size(self, width, height=900):
        self.tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def value(self, script):
        """What a line of JavaScript gives."""
        return self.tell("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def wait(self, script, seconds=60):
        """Until a line of JavaScript gives something that is true, which it returns."""
        end = time.monotonic() + seconds
        while not (found := self.value(script)):
            assert time.monotonic() < end, f"{script}: still {found!r} after {seconds} s"
            time.sleep(0.2)
        return found

    def shoot(self, path):
        """A picture of what the window shows."""
        image = self.tell("Page.captureScreenshot")["data"]
        path.write_bytes(base64.b64decode(image))


@contextmanager
def chromium(folder):
    """A page of a browser that keeps its files in a folder; skips the test where there is none."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium to look at the page with")
    orders, answers = os.pipe(), os.pipe()
    files = orders[0], answers[1]
    command = [sys.executable, "-c", START, *map(str, files), browser, *FLAGS, f"--user-data-dir={folder}"]
    running = subprocess.Popen(command, pass_fds=files, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(orders[0])
    os.close(answers[1])
    try:
        yield Page(answers[0], orders[1])
    finally:
        running.kill()
        running.wait()
        os.close(orders[1])
        os.close(answers[0])
