"""A pytest plugin: the tests once without a mutant, then, in a fork each, those that meet it with one until one fails.

In: `MUTANTS_TODO` (the mutants' names, where to write, how many at a time). Out: a line for each mutant, `{"name",
"result": "killed" | "timeout" | "survived"}`. The first run tells which test calls which function, and how long it
takes: the quick ones come first. To try it: `ci/mutants order.py`.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import time
from collections import defaultdict
from pathlib import Path

import hypothesis
import pytest
from _pytest.runner import runtestprotocol

PATIENCE_S = 4
"""So much more processor time a test may take with a mutant that goes round and round, however busy the machine is."""
HARD_S = 600
KILLED, SURVIVED = 1, 0


def pytest_configure() -> None:
    """What made a test fail need not be made small."""
    hypothesis.settings.register_profile("mutants", phases=[hypothesis.Phase.generate], database=None)
    hypothesis.settings.load_profile("mutants")


def pytest_runtestloop(session: pytest.Session) -> bool:
    job = json.loads(Path(os.environ["MUTANTS_TODO"]).read_text())
    met = _run_all(session)
    running: dict[int, str] = {}

    def collect() -> None:
        child, status = os.wait()
        name, code = running.pop(child), os.waitstatus_to_exitcode(status)
        function = name.rpartition("__mutmut_")[0]
        killer = Path(job["results"]).with_name(f"killer.{child}")
        if killer.exists():  # what found out one mutant of a function will find out others: it comes first
            said = killer.read_text()
            met[function].sort(key=lambda test: test[1].nodeid != said)
            killer.unlink()
        result = "timeout" if code < 0 else "survived" if code == SURVIVED else "killed"
        line = {"name": name, "source": job["todo"][name], "around": job["around"], "result": result}
        with open(job["results"], "a", encoding="utf-8") as results:
            results.write(json.dumps(line) + "\n")

    for number, name in enumerate(job["todo"], 1):
        if len(running) >= job["jobs"]:
            collect()
        if child := os.fork():
            running[child] = name
        else:
            _run_mutant(name, met[name.rpartition("__mutmut_")[0]], Path(job["results"]).parent)
        if number % 50 == 0:
            print(f"  {number} of {len(job['todo'])} mutants", flush=True)
    while running:
        collect()
    return True


def _run_all(session: pytest.Session) -> dict[str, list[tuple[float, pytest.Item]]]:
    """Function → the tests that call it, the quick ones first. One that fails by itself is left out, and said."""
    state = importlib.import_module("mutmut.state").state()
    os.environ["MUTANT_UNDER_TEST"] = "stats"
    met: defaultdict[str, list[tuple[float, pytest.Item]]] = defaultdict(list)
    for item in session.items:
        began = time.process_time()
        if not _passes(item):
            print(f"left out, since it fails without a mutant: {item.nodeid}", flush=True)
            session.testsfailed += 1
            continue
        took_s = time.process_time() - began
        for function in state._stats:
            met[function].append((took_s, item))
        state._stats.clear()
    del os.environ["MUTANT_UNDER_TEST"]
    for tests in met.values():
        tests.sort(key=lambda test: test[0])
    return met


def _passes(item: pytest.Item) -> bool:
    return all(report.passed or report.skipped for report in runtestprotocol(item, nextitem=None, log=False))


def _run_mutant(name: str, tests: list[tuple[float, pytest.Item]], folder: Path) -> None:
    """In the child, which ends here and says which test failed. A mutant that no test calls survives."""
    importlib.import_module("mutmut.mutation.trampoline").set_mutant_under_test(name)
    found_out = False
    try:
        for took_s, item in tests:
            resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + 2 * took_s + PATIENCE_S), HARD_S))
            if not _passes(item):
                found_out = True
                (folder / f"killer.{os.getpid()}").write_text(item.nodeid)
                break
    except BaseException:
        found_out = True
    os._exit(KILLED if found_out else SURVIVED)
