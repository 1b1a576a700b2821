"""The controller's merge where no worker could be run: results that are not where they should be are missed aloud."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from report_example import example

from chaosharness.pytest_plugin.controller import Controller
from chaosharness.pytest_plugin.handover import KEY, Handover, State
from chaosharness.report.read import read


def ended(controller: Controller, worker: str, folder: Path | None) -> None:
    """As xdist tells that a worker has ended in good order."""
    said = {"folder": str(folder) if folder else None, "unmatched": None}
    controller.pytest_testnodedown(SimpleNamespace(gateway=SimpleNamespace(id=worker), workeroutput={KEY: said}))


def test_no_scenario_no_report(tmp_path: Path) -> None:
    controller = Controller(7, tmp_path / "runs")
    ended(controller, "gw0", None)
    assert controller.finish() is None
    assert not (tmp_path / "runs").exists()


def test_a_worker_of_another_machine_is_missed(tmp_path: Path) -> None:
    run = example()
    controller = Controller(7, tmp_path / "runs")
    here = Handover(controller.folder, "gw0")
    here.make_folder()
    here.write(State.SETTLED, run, run.results[0], item="a")
    here.write(State.WHOLE, run)
    ended(controller, "gw0", here.folder)
    ended(controller, "gw1", controller.folder / "workers" / "gw1")
    finished = controller.finish()
    assert finished
    merged, page = finished
    assert page == controller.folder / "report.html"
    assert read(controller.folder) == merged
    assert (merged.seed, merged.results) == (7, run.results[:1])
    (broken,) = merged.broken
    assert broken.startswith(f"worker gw1: its results are in {controller.folder}/workers/gw1, which is not on this")
