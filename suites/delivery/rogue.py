"""A worker that keeps its promise and is a bad guest: `fixtures/services/shipper.py`, and beside it what argv[1] says.

binary    writes every byte there is to both of its outputs, and lines without an end
flood     writes to its output as fast as it can
forks     starts processes for ever, each in a session of its own; `only-forks`: and does no work
hides     leaves a process behind two forks and a session, which ignores what can be ignored; argv[2]: where its id goes
stubborn  does not end when it is told to
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from pathlib import Path

SHIPPER = Path(__file__).parents[2] / "fixtures" / "services" / "shipper.py"
EVERY_BYTE = bytes(range(256)) * 64


def binary() -> None:
    for fd in (1, 2):
        os.write(fd, EVERY_BYTE + b"\x1b[2J\x1b]0;title\x07" + b"\n" + b"x" * 100_000)


def flood() -> None:
    lines = (b"y" * 99 + b"\n") * 600

    def write(most: float = float("inf")) -> None:
        written = 0
        while written < most:
            written += os.write(1, lines)

    write(70 << 20)  # more than its log may hold, however slow the machine is
    threading.Thread(target=write, daemon=True).start()


def forks() -> None:
    if os.fork() == 0:
        only_forks()


def only_forks() -> None:
    while True:
        try:
            if os.fork() == 0:
                os.setsid()
                signal.pause()
        except OSError:
            pass


def hides() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        Path(sys.argv[2]).write_text(str(os.getpid()))
        while True:
            signal.pause()


def stubborn() -> None:
    """The handler that the service sets is set before anything is delivered to it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")]()
    runpy.run_path(str(SHIPPER), run_name="__main__")
