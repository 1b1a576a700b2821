"""What a run that has ended, or was ended, must leave behind: readable records, and nothing that lives.

Goes in: a run's folder, a watch. Comes out: how much was recorded, or a failed assertion. To try it: test_leaks.py.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from leaks import Watch
from product import ENDS_WITHIN_S, cli

from chaosharness.ledger.reader import read
from chaosharness.ledger.writer import SUFFIX
from chaosharness.model.wait import wait_for
from chaosharness.session.backend import VARIABLE

FILES = ("harness", "keeper", "relay", *(["docker"] if os.environ.get(VARIABLE) == "docker" else []))
"""Who writes a ledger file, on the backend that the suites are told to run on."""


def recorded(run: Path, wanted: Collection[str] = FILES) -> int:
    """How many events a run's ledger files have; every line of them can be read, whoever died."""
    files = sorted(run.glob(f"scenarios/*/*{SUFFIX}"))
    assert {file.name.removesuffix(SUFFIX) for file in files} == {*wanted}
    count = 0
    for file in files:
        events, gaps = read(file)
        lines = file.read_bytes().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        assert len(events) == len(whole) - 1, gaps  # but for the header
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert all("not closed" in gap or "torn" in gap for gap in gaps), gaps
        count += len(events)
    return count


def keeper_is_done(watch: Watch) -> None:
    """It ends by itself, after all others, when the harness is gone."""
    wait_for("the keeper to have ended everything", ENDS_WITHIN_S, lambda: not watch.left(), last_seen=watch.left)


def readable(folder: Path, run: Path) -> None:
    """The report was written, and can be read again."""
    assert (run / "report.html").stat().st_size > 0
    said = cli(folder, "report", str(run))
    assert said.code == 0, said
