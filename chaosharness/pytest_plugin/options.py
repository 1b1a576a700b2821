"""The options of `chaosharness run`, with `--chaos-` in front."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaosharness.model.errors import BadInput
from chaosharness.pytest_plugin.run import RUN, Run
from chaosharness.session.backend import BACKENDS, VARIABLE, choose_backend
from chaosharness.session.session import DEFAULT_RUNS, new_seed


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
    config.stash[RUN] = Run(
        backend=backend,
        seed=new_seed() if seed is None else seed,
        runs=Path(config.getoption("--chaos-runs")),
        target=config.getoption("--chaos-target"),
        only=tuple(config.getoption("--chaos-only")),
    )
