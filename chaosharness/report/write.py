"""What a run leaves to be read: run.json and report.html in its folder, each whole or not there.

Goes in: a `RunResult`, finished or interrupted, and the run's folder. Comes out: the two files. To try it:
`suites/unit/test_report_write.py`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from chaosharness.model.verdict import RunResult
from chaosharness.report.document import text
from chaosharness.report.html import page
from chaosharness.report.read import RUN_JSON

REPORT_HTML = "report.html"


def write(run: RunResult, folder: Path) -> Path:
    """Writes both files, the data before the page that shows it; returns the page's path. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / RUN_JSON, text(run))
    return write_page(run, folder)


def write_or_say(run: RunResult, folder: Path) -> tuple[RunResult, Path | None]:
    """As `write`, for a run that is over: where the disk refuses, the run says so and there is no page."""
    try:
        return run, write(run, folder)
    except OSError as refused:
        return replace(run, broken=(*run.broken, f"{folder}: the report cannot be written: {refused.strerror}")), None


def write_page(run: RunResult, folder: Path) -> Path:
    """Writes report.html alone, for a run that was read."""
    path = folder / REPORT_HTML
    _replace(path, page(run))
    return path


def _replace(path: Path, content: str) -> None:
    """A reader sees the old file or the whole new one, also when this process is interrupted here."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content.encode("utf-8", "backslashreplace"))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
