"""The end of a log, for error messages.

Goes in: a log file. Comes out: text. To try it: `suites/unit/test_servers_logs.py`.
"""

from __future__ import annotations

import os
from pathlib import Path

_BLOCK_BYTES = 64 * 1024


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log that may be large, under its name; says so where there is no log or nothing in it."""
    try:
        with open(path, "rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _BLOCK_BYTES))
            text = log.read().decode("utf-8", "replace")
    except OSError as error:
        return f"(no log: {error})"
    last = text.splitlines()[-lines:]
    return "\n".join([f"{path} ends with:", *last]) if last else f"({path} is empty)"
