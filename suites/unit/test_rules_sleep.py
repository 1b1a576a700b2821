"""Nobody sleeps: a wait says what it waits for and ends, and there is one of it, in model/wait.py.

The sample services in fixtures/ are users' code, and exempt.
"""

from __future__ import annotations

import ast

import pytest
from sources import ROOT, python_files, shown

THE_WAIT = ROOT / "chaosharness" / "model" / "wait.py"


def sleeps(source: str) -> list[int]:
    """The lines that name a `sleep` of any module, or import one."""
    found = []
    for node in ast.walk(ast.parse(source)):
        named = isinstance(node, ast.Attribute) and node.attr == "sleep"
        if isinstance(node, ast.ImportFrom):
            named = any(alias.name == "sleep" for alias in node.names)
        if named:
            found.append(getattr(node, "lineno", 0))
    return found


@pytest.mark.parametrize(
    "bad",
    [
        "import time\ntime.sleep(1)",
        "from time import sleep",
        "from asyncio import sleep as pause",
        "import asyncio\nasync def f() -> None:\n    await asyncio.sleep(0)",
        "import time as t\npause = t.sleep",
        "connection.sleep(1)",
    ],
)
def test_a_sleep_is_seen(bad: str) -> None:
    assert sleeps(bad)


def test_what_only_speaks_of_sleep_is_none() -> None:
    assert sleeps('sleeps = ["sleep", "1000"]\n# time.sleep(1)\nrun(*sleeps)') == []


def test_the_one_wait_sleeps() -> None:
    assert len(sleeps(THE_WAIT.read_text())) == 1


def test_nobody_else_sleeps() -> None:
    paths = [path for path in python_files("chaosharness", "suites", "ci") if path != THE_WAIT]
    assert len(paths) > 100
    assert [f"{shown(path)}:{line}" for path in paths for line in sleeps(path.read_text())] == []
