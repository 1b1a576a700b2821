"""One pytest run shared out among workers by pytest-xdist: one seed, one report, whatever becomes of a worker."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from leaks import Watch
from product import ENDS_WITHIN_S, FIXTURES, PYTEST, SCENARIOS, SLOW, Said, cli, flow, inner_pytest, twin

from chaosharness.ledger.reader import read
from chaosharness.ledger.writer import SUFFIX
from chaosharness.model.event import Kind
from chaosharness.model.wait import wait_for

WAIVED = (
    twin().replace("[flow.brpop_worker", "[flow.waived")
    + """
[flow.waived.waive]
"store-deliver:cut" = { lost = 1, because = "a parcel may be sent by hand" }
"effect-response:crash" = { duplicated = 1, because = "nobody minds" }
"""
)
PICKED = [
    "shipper[effect-ack:crash]",
    "brpop_worker[store-deliver:cut]",
    "brpop_worker[ack-settle:*]",
    "waived[store-deliver:cut]",
    "waived[effect-response:crash]",
    "*[publish-store:*",
]
"""Upheld, violated, found not to apply while running, waived; and some of what is not collected."""
PYTHON = f"""
import os
import chaosharness as chaos

shipper = chaos.Flow(
    "shipper",
    source=chaos.redis_list("orders"),
    consumer=chaos.command(
        "python3 {FIXTURES}/services/shipper.py",
        env={{"REDIS_URL": "{{broker}}", "ORDERS": "orders", "CARRIER_URL": "{{effect}}", "WORKER": "{{host}}"}},
    ),
    effect=chaos.http("POST /v1/parcels", idempotent_by="header:Idempotency-Key"),
    workload=chaos.workload(payload='{{"order_id": "{{key}}"}}'),
    semantic=chaos.effectively_once(),
    because="a parcel is sent, and sent once",
    scenarios={SCENARIOS},
)

@chaos.every_window(shipper)
def test_parcels(scenario):
    scenario.run(messages=20)
    os._exit(3)
"""


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Fails the test, not only the session, if anything outlives it."""
    watch = Watch()
    yield watch
    assert watch.end() == []


@dataclass(frozen=True)
class Report:
    """What one pytest run left: one folder, with one report."""

    folder: Path
    run: dict[str, Any]

    @property
    def scenarios(self) -> list[dict[str, Any]]:
        return list(self.run["scenarios"])

    @property
    def verdicts(self) -> dict[str, str]:
        """Of what was collected, in the report's order."""
        return {one["id"]: one["verdict"] for one in self.scenarios if one["folder"]}

    @property
    def workers(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "workers").iterdir())

    @property
    def told(self) -> Any:
        """All that must be the same however many processes ran it."""
        fields = ("id", "verdict", "reason", "target", "reproduce", "seed", "observed", "waived", "unproven")
        scenarios = [
            {**{name: one[name] for name in fields}, "found": [(f["kind"], f["keys"]) for f in one["findings"]]}
            for one in self.scenarios
        ]
        return scenarios, self.run["versions"], {name: self.run[name] for name in ("seed", "broken", "unused_waivers")}


def reports(runs: Path) -> list[Report]:
    """Every run in the folder, each with its page."""
    folders = sorted(runs.iterdir())
    assert all((folder / "report.html").is_file() for folder in folders)
    return [Report(folder, json.loads((folder / "run.json").read_text("utf-8"))) for folder in folders]


def report(runs: Path) -> Report:
    (only,) = reports(runs)
    return only


def junit(path: Path) -> list[tuple[Any, ...]]:
    """Test cases with their outcome and properties; who came first is chance."""
    return sorted(
        (
            case.get("classname"),
            case.get("name"),
            [part.tag for part in case],
            [p.attrib for p in case.iter("property")],
        )
        for case in ElementTree.parse(path).iter("testcase")
    )


# what several workers come to is what one process comes to


@pytest.fixture(scope="module")
def flows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "flows.toml").write_text(flow() + twin(), encoding="utf-8")
    (folder / "more.flows.toml").write_text(WAIVED, encoding="utf-8")
    return folder


ALL = ["--chaos-seed", "5", *(word for glob in PICKED for word in ("--chaos-only", glob))]


@pytest.fixture(scope="module")
def alone(flows: Path) -> Report:
    """Without workers."""
    said = inner_pytest(flows, "-n", "0", *ALL, "--chaos-runs", "alone", "--junitxml", "alone.xml")
    assert said.code == 1, said
    found = report(flows / "alone")
    assert list(found.verdicts.values()) == ["upheld", "violated", "not_applicable", "upheld", "upheld"], said
    assert len(found.scenarios) > len(found.verdicts), "what is not collected"
    assert [line.partition(":")[0] for line in found.run["unused_waivers"]] == ["waived"]
    return found


@dataclass(frozen=True)
class Shared:
    """One of two runs with workers that were made at once, in one folder."""

    said: Said
    junit: Path
    report: Report


@pytest.fixture(scope="module")
def shared(alone: Report, flows: Path) -> list[Shared]:
    """Two at once; strings hash differently in each, and in the second one in each process."""
    processes = {
        dist: subprocess.Popen(
            [*PYTEST, "-n", "2", "--dist", dist, *ALL, "--chaos-runs", f"together/{dist}", "--junitxml", f"{dist}.xml"],
            cwd=flows,
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for dist, seed in (("load", "1"), ("worksteal", "random"))
    }
    both = []
    for dist, process in processes.items():
        out, err = process.communicate(timeout=2 * ENDS_WITHIN_S)
        said = Said(process.returncode, out, err)
        assert said.code == 1, said
        both.append(Shared(said, flows / f"{dist}.xml", report(flows / "together" / dist)))
    return both


def test_workers_come_to_the_same_verdicts(alone: Report, shared: list[Shared], flows: Path) -> None:
    for one in shared:
        assert one.report.told == alone.told
        assert one.report.workers == ["gw0", "gw1"]
        assert one.report.run["environment"]["workers"] == "gw0, gw1"
        assert junit(one.junit) == junit(flows / "alone.xml")


def test_so_they_do_when_each_has_a_file(alone: Report, flows: Path) -> None:
    cells = ["shipper[effect-ack:crash]", "waived[store-deliver:cut]"]
    picked = [word for cell in cells for word in ("--chaos-only", cell)]
    said = inner_pytest(flows, "-n", "2", "--dist", "loadfile", "--chaos-seed", "5", *picked, "--chaos-runs", "by-file")
    assert said.code == 0, said
    found = report(flows / "by-file")
    assert found.workers == ["gw0", "gw1"]
    assert found.told[0] == [one for one in alone.told[0] if one["id"] in cells]


def test_nothing_is_shared(shared: list[Shared]) -> None:
    """Each worker has a broker, a proxy and a relay of its own."""
    ports = []
    for one in shared:
        for worker in one.report.workers:
            folder = one.report.folder / "workers" / worker
            assert sorted(path.name for path in (folder / "servers").iterdir()) == ["redis", "toxiproxy"]
            assert (folder / "relay" / "relay.log").is_file()
            ports += re.findall(r"port=(\d+)", (folder / "servers" / "redis" / "redis.log").read_text("utf-8"))
    assert len(set(ports)) == 4, ports


def test_there_is_one_report_and_it_leads_to_the_ledgers(shared: list[Shared]) -> None:
    said, found = shared[0].said, shared[0].report
    assert said.out.count("chaosharness: backend ") == said.out.count("= chaosharness =") == 1, said
    assert said.out.count(f"report: {found.folder / 'report.html'}") == 1, said
    page = (found.folder / "report.html").read_text("utf-8")
    links = re.findall(r'href="\./([^"]+)/"', page)
    assert sorted(links) == sorted(
        one["folder"] for one in found.scenarios if one["folder"] and one["verdict"] != "not_applicable"
    )
    for link in links:
        assert {"plan.json", f"relay{SUFFIX}"} <= {path.name for path in (found.folder / link).iterdir()}
    (failed,) = (one["folder"] for one in found.scenarios if one["verdict"] == "violated")
    assert f"  Ledger     {failed}\n" in said.out, said
    assert len(list(found.folder.rglob("report.html"))) == len(list(found.folder.rglob("run.json"))) == 1
    again = cli(found.folder, "report", str(found.folder), "--json")
    assert (again.code, again.json()) == (0, found.run)
    assert (found.folder / "report.html").read_text("utf-8") == page


# what becomes of a worker


@contextmanager
def under_way(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A pytest with workers in the middle of a scenario of the flow `slow`, and the worker that runs it."""
    (folder / "flows.toml").write_text(twin() + flow("slow", workload=SLOW) + flow("late"), encoding="utf-8")
    process = subprocess.Popen(
        # as typed at a terminal: a job in a shell's background ignores Ctrl-C, and so would what it starts
        ["env", "--default-signal=INT", *PYTEST, *arguments, "--chaos-runs", "runs"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )

    def effects() -> list[Path]:
        ledgers = folder.glob(f"runs/*/workers/*/scenarios/slow-*/relay{SUFFIX}")
        return [path for path in ledgers if sum(event.kind is Kind.EFFECT for event in read(path)[0]) > 3]

    with process:
        try:
            (ledger, *_) = wait_for("effects of the slow flow", ENDS_WITHIN_S, effects)
            with open(ledger.with_name(f"harness{SUFFIX}"), encoding="utf-8") as lines:
                worker = json.loads(lines.readline())["pid"]
            assert process.poll() is None
            yield process, worker
        finally:
            if process.poll() is None:
                process.kill()


CELLS = ["--chaos-only", "brpop_worker[store-deliver:cut]", "--chaos-only", "slow[effect-ack:crash]"]


def test_a_worker_that_is_killed_is_replaced_and_missed(watch: Watch, tmp_path: Path) -> None:
    """What it had found stays; what it was at is not proven; the next one goes on from there."""
    cells = [*CELLS, "--chaos-only", "late[effect-ack:crash]"]
    with under_way(tmp_path, "-n", "1", *cells) as (process, worker):
        os.kill(worker, signal.SIGKILL)
        said = Said(0, *process.communicate(timeout=ENDS_WITHIN_S))
    assert process.returncode == 1, said
    assert "worker 'gw0' crashed while running 'flows.toml::slow[effect-ack:crash]'" in said.out
    found = report(tmp_path / "runs")
    ended = "worker gw0 ended before it handed over its results; what it had recorded is in workers/gw0"
    assert (found.run["broken"], found.run["exit_code"]) == ([ended], 4)
    assert ended in " ".join(said.out.split()), said
    assert [(one["id"], one["verdict"], one["folder"]) for one in found.scenarios if one["folder"]] == [
        (
            "brpop_worker[store-deliver:cut]",
            "violated",
            "workers/gw0/scenarios/brpop_worker-store-deliver-cut",
        ),
        ("slow[effect-ack:crash]", "unproven", "workers/gw0/scenarios/slow-effect-ack-crash"),
        ("late[effect-ack:crash]", "upheld", "workers/gw1/scenarios/late-effect-ack-crash"),
    ]
    assert {one["seed"] for one in found.scenarios} == {found.run["seed"]}
    assert f"seed {found.run['seed']}\n" in said.out, "drawn by the controller"
    for path in (found.folder / "workers" / "gw0" / "scenarios" / "slow-effect-ack-crash").glob(f"*{SUFFIX}"):
        assert read(path)[0]
    assert [path for path in found.folder.rglob("data") if path.exists()] == [], "the keeper of each has ended"
    assert watch.left() == []


def test_a_worker_that_exits_has_handed_over_what_it_found(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(PYTHON, encoding="utf-8")
    cell = "shipper[effect-ack:crash]"
    said = inner_pytest(tmp_path, "-n", "1", "--chaos-only", cell, "--chaos-runs", "runs", "test_shop.py")
    assert said.code == 1, said
    found = report(tmp_path / "runs")
    assert found.verdicts == {cell: "upheld"}
    (reproduce,) = (one["reproduce"] for one in found.scenarios if one["folder"])
    assert reproduce == f"pytest 'test_shop.py::test_parcels[{cell}]' --chaos-seed {found.run['seed']}"
    assert [what.partition(" ended")[0] for what in found.run["broken"]] == ["worker gw0"]


def test_an_interrupted_run_is_reported(watch: Watch, tmp_path: Path) -> None:
    with under_way(tmp_path, "-n", "2", "--dist", "load", *CELLS) as (process, _):
        os.killpg(process.pid, signal.SIGINT)
        said = Said(0, *process.communicate(timeout=ENDS_WITHIN_S))
    assert process.returncode == pytest.ExitCode.INTERRUPTED, said
    found = report(tmp_path / "runs")
    assert (found.run["interrupted"], found.run["broken"]) == (True, [])
    assert "slow[effect-ack:crash]" not in found.verdicts
    assert [path for path in found.folder.rglob("data") if path.exists()] == []


def test_workers_end_when_their_controller_is_killed(watch: Watch, tmp_path: Path) -> None:
    with under_way(tmp_path, "-n", "2", *CELLS) as (process, _):
        process.kill()
    wait_for("the workers and all that is theirs to end", ENDS_WITHIN_S, lambda: not watch.left(), last_seen=watch.left)
    assert list(tmp_path.glob("runs/*/workers/*/results.jsonl"))


def test_what_stops_at_the_first_failure_was_not_interrupted(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "flows.toml").write_text(twin(), encoding="utf-8")
    cells = ["--chaos-only", "*store-deliver:cut*", "--chaos-only", "*effect-response:crash*"]
    said = inner_pytest(tmp_path, "-n", "1", "-x", *cells, "--chaos-runs", "runs")
    assert "stopping after 1 failures" in said.out, said
    found = report(tmp_path / "runs")
    assert (found.run["interrupted"], found.run["exit_code"]) == (False, 1)


# what is not there


def test_a_glob_that_matches_nothing_is_bad_usage(tmp_path: Path) -> None:
    (tmp_path / "flows.toml").write_text(flow(), encoding="utf-8")
    said = inner_pytest(tmp_path, "-n", "2", "--chaos-only", "shipper[effect-akc:crash]")
    assert said.code == pytest.ExitCode.USAGE_ERROR, said
    assert said.out.count("matches no scenario; nearest: shipper[effect-ack:crash]") == 1
    assert not (tmp_path / ".chaosharness").exists()


def test_other_tests_do_not_notice(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text("def test_a(): pass\ndef test_b(): pass\n", encoding="utf-8")
    said = inner_pytest(tmp_path, "-n", "2")
    assert (said.code, "chaosharness =" in said.out) == (0, False), said
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["test_other.py"]


def test_without_xdist_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    """Nor the part of the plugin that is for it. Plugins are not looked for: it might as well not be installed."""
    (tmp_path / "flows.toml").write_text(flow(), encoding="utf-8")
    (tmp_path / "conftest.py").write_text(
        "import sys\n\n"
        "def pytest_sessionfinish():\n"
        "    loaded = [name for name in sys.modules if 'xdist' in name or 'execnet' in name or 'controller' in name]\n"
        "    assert loaded == [], loaded\n",
        encoding="utf-8",
    )
    said = inner_pytest(
        tmp_path,
        *("-p", "chaosharness.pytest_plugin", "--chaos-only", "shipper[effect-ack:crash]", "--chaos-runs", "runs"),
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
    )
    assert said.code == 0, said
    found = report(tmp_path / "runs")
    assert found.verdicts == {"shipper[effect-ack:crash]": "upheld"}
    assert not (found.folder / "workers").exists()
