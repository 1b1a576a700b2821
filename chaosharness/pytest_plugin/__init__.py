"""The pytest face: collects flow files, one item per scenario; `@every_window` for flows in Python.

Goes in: `flows.toml`, or a test that asks for `scenario`. Comes out: passed, failed with the findings, skipped with the
reason; the run's folder with run.json and report.html. To try it: `pytest flows.toml`.
"""

from chaosharness.pytest_plugin.collect import pytest_collect_file
from chaosharness.pytest_plugin.decorator import pytest_generate_tests, scenario
from chaosharness.pytest_plugin.options import pytest_addoption, pytest_configure
from chaosharness.pytest_plugin.run import (
    pytest_report_header,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_unconfigure,
)

__all__ = [
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_report_header",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_unconfigure",
    "scenario",
]
