"""A suite that runs against servers runs against real ones: nothing in it is a mock."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from sources import python_files, shown

SUITES = ("suites/conformance", "suites/delivery", "suites/twins")
MOCKS = {
    "unittest.mock", "mock", "pytest_mock", "fakeredis", "birdisle", "requests_mock", "responses", "respx",
    "httpretty", "vcr", "moto", "mockito", "flexmock", "doublex",
}  # fmt: skip
"""Modules whose only use is to stand in for something real."""
MOCKER = "mocker"
"""The fixture of pytest-mock, which needs no import."""


def mocks(source: str) -> list[str]:
    """`line: what` for every mock that is imported or asked for."""
    return [f"{line}: {what}" for line, what in _mocks(ast.parse(source))]


def _mocks(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.arg) and node.arg == MOCKER:
            yield node.lineno, MOCKER
        for name in names:
            parts = name.split(".")
            if parts[0] in MOCKS or ".".join(parts[:2]) in MOCKS:
                yield getattr(node, "lineno", 0), name


@pytest.mark.parametrize(
    "bad",
    [
        "from unittest.mock import MagicMock",
        "from unittest import mock",
        "import unittest.mock as m",
        "import fakeredis",
        "def test_it(mocker): ...",
        "def test_it():\n    from responses import activate",
    ],
)
def test_a_mock_is_seen(bad: str) -> None:
    assert mocks(bad)


def test_what_is_real_is_no_mock() -> None:
    assert mocks("import unittest, redis\nfrom http.server import HTTPServer\nfrom unittest import TestCase") == []


def test_no_suite_against_servers_has_a_mock() -> None:
    found = [f"{shown(path)}:{where}" for path in python_files(*SUITES) for where in mocks(path.read_text())]
    assert found == []
