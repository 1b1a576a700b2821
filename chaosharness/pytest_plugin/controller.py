"""The process that shares a pytest run out among workers (pytest-xdist): one seed, one folder and one report for all.

Goes in: what each worker leaves in the run's folder. Comes out: one finished run. It is registered as a plugin where
there are workers to come; a pytest without them never imports it. To try it: `pytest -n 2 flows.toml`,
`suites/delivery/test_xdist.py`.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chaosharness.model.verdict import Result, RunResult
from chaosharness.pytest_plugin.handover import KEY, WORKERS, Left, read
from chaosharness.report.merge import merge
from chaosharness.report.write import write_or_say


class Controller:
    """Its methods named `pytest_…` are hooks."""

    def __init__(self, seed: int, runs: Path) -> None:
        stamp = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
        # The first worker with a scenario makes it, so that a run without one leaves nothing: the name must be this
        # run's alone without a look at what is there.
        self.folder = (runs / f"{stamp}-{secrets.token_hex(3)}").resolve()
        self.unmatched: str | None = None
        """What the workers say of a `--chaos-only` that matched no cell: they alone collect."""
        self._seed = seed
        self._started = datetime.now(UTC)
        self._began = time.monotonic()
        self._place: dict[str, int] = {}
        """Item → its place in the collection."""
        self._elsewhere: list[str] = []
        self._interrupted = False

    def pytest_configure_node(self, node: Any) -> None:
        """A worker is about to be started. What it is given crosses processes: plain types only."""
        node.workerinput[KEY] = {"seed": self._seed, "folder": str(self.folder)}

    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Every worker collects the same; xdist sees to that."""
        self._place = {item: place for place, item in enumerate(ids)}

    def pytest_testnodedown(self, node: Any) -> None:
        """A worker has ended; one that did not end in good order says nothing."""
        said = getattr(node, "workeroutput", {}).get(KEY)
        if said:
            self.unmatched = said["unmatched"]
            if said["folder"] and not Path(said["folder"]).is_dir():
                self._elsewhere.append(
                    f"worker {node.gateway.id}: its results are in {said['folder']}, which is not on this machine; "
                    "workers of other machines are not in this report"
                )

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """xdist ends a run early, as after `--maxfail`, with an exception of its own: nobody interrupted that."""
        self._interrupted = excinfo.type is KeyboardInterrupt

    def finish(self) -> tuple[RunResult, Path | None] | None:
        """The finished run and its page, written, once all workers have ended. None: no worker ran a scenario."""
        folders = sorted((self.folder / WORKERS).glob("*"), key=lambda folder: (len(folder.name), folder.name))
        left = [read(folder) for folder in folders]
        if not left and not self._elsewhere:
            return None
        run = self._merged(left)
        return write_or_say(run, self.folder)

    def _merged(self, left: Sequence[Left]) -> RunResult:
        parts = {one.worker: one.run for one in left}
        run = merge(parts, self._in_order(left)) if parts else RunResult(self._seed, ())
        died = (
            f"worker {one.worker} ended before it handed over its results; "
            f"what it had recorded is in {WORKERS}/{one.worker}"
            for one in left
            if not one.whole
        )
        return replace(
            run,
            seed=self._seed,
            started=self._started.isoformat(timespec="seconds"),
            duration_s=round(time.monotonic() - self._began, 3),
            environment={**run.environment, "command": " ".join(sys.argv), "workers": ", ".join(parts)},
            broken=(*run.broken, *died, *self._elsewhere),
            interrupted=run.interrupted or self._interrupted,
        )

    def _in_order(self, left: Sequence[Left]) -> list[Result]:
        """As one process would have them: as collected, then what no item stands for, of which all know the same."""
        found = [pair for one in left for pair in one.results]
        found.sort(key=lambda pair: self._place.get(pair[0], len(self._place)))
        declined = next((one.declined for one in left if one.declined), ())
        return [*(result for _, result in found), *declined]
