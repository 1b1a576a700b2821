"""The options of `chaosharness run`, with `--chaos-` in front."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaosharness.model.errors import BadInput
from chaosharness.pytest_plugin.handover import KEY, Handover
from chaosharness.pytest_plugin.run import RUN, Run
from chaosharness.session.backend import BACKENDS, VARIABLE, choose_backend
from chaosharness.session.defaults import DEFAULT_RUNS, new_seed


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaosharness", "delivery guarantees (chaosharness)")
    group.addoption(
        "--chaos-only",
        metavar="GLOB",
        action="append",
        default=[],
        help="scenarios whose id matches, e.g. 'payment[effect-*'; * and ? are wildcards; repeatable",
    )
    group.addoption("--chaos-seed", metavar="N", type=int, help="the same seed aims at the same messages")
    group.addoption("--chaos-target", metavar="WHICH", help="the aimed message: a number, a key, or module:function")
    group.addoption(
        "--chaos-backend",
        metavar="BACKEND",
        choices=BACKENDS,
        help=f"where servers come from: {', '.join(BACKENDS)} (default: ${VARIABLE}, else auto)",
    )
    group.addoption("--chaos-runs", metavar="DIR", default=str(DEFAULT_RUNS), help="where runs are kept")


def pytest_configure(config: pytest.Config) -> None:
    """Bad options end pytest with its usage error."""
    config.addinivalue_line("markers", "chaos: a scenario of chaosharness (`-m chaos` picks them all)")
    try:
        backend = choose_backend(config.getoption("--chaos-backend"), "--chaos-backend")
    except BadInput as bad:
        raise pytest.UsageError(str(bad)) from bad
    seed = config.getoption("--chaos-seed")
    run = Run(
        backend=backend,
        seed=new_seed() if seed is None else seed,
        runs=Path(config.getoption("--chaos-runs")),
        target=config.getoption("--chaos-target"),
        only=tuple(config.getoption("--chaos-only")),
    )
    config.stash[RUN] = run
    _share(config, run)


def _share(config: pytest.Config, run: Run) -> None:
    """Where pytest-xdist makes this process one of several: a worker, or the controller that has the workers."""
    given = getattr(config, "workerinput", {}).get(KEY)
    if given:
        run.seed = given["seed"]
        run.handover = Handover(Path(given["folder"]), config.workerinput["workerid"])  # type: ignore[attr-defined]
    elif _has_workers(config):
        from chaosharness.pytest_plugin.controller import Controller  # here, since few need it

        run.controller = Controller(run.seed, run.runs)
        config.pluginmanager.register(run.controller, "chaosharness-controller")


def _has_workers(config: pytest.Config) -> bool:
    return (
        config.pluginmanager.hasplugin("xdist")
        and config.getoption("dist") != "no"
        and bool(config.getoption("tx"))
        and not config.getoption("collectonly")
    )
