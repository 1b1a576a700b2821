"""`flows.toml` as a test file: each applicable cell is an item, `flows.toml::payment[effect-ack:crash]`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaosharness.flowfile import load
from chaosharness.model.errors import BadInput
from chaosharness.pytest_plugin.run import RUN, outcome
from chaosharness.registry import select
from chaosharness.session.choose import Choice, choose

NAMES = ("flows.toml",)
SUFFIX = ".flows.toml"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Files named `flows.toml` or `*.flows.toml`; any other `.toml` only where it is named on the command line."""
    named = file_path.name in NAMES or file_path.name.endswith(SUFFIX)
    asked = file_path.suffix == ".toml" and parent.session.isinitpath(file_path)
    if named or asked:
        collector: pytest.Collector = FlowFileCollector.from_parent(parent, path=file_path)
        return collector
    return None


class FlowFileCollector(pytest.File):
    """One flow file."""

    def collect(self) -> Iterator[pytest.Item]:
        run = self.config.stash[RUN]
        flows = load(self.path, run.registry).flows
        every = choose(run.registry, flows)
        run.seen += [str(choice.cell.id) for choice in every]
        for choice in every:
            if not select([choice.cell], only=run.only):
                continue
            if choice.cell.not_applicable:
                run.decline(choice.flow, choice.cell)
                continue
            yield ScenarioItem.from_parent(self, name=str(choice.cell.id), choice=choice)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A bad flow file is told in its own words, without a traceback."""
        if isinstance(excinfo.value, BadInput):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


class ScenarioItem(pytest.Item):
    """One scenario."""

    def __init__(self, *, choice: Choice, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.choice = choice
        self.add_marker("chaos")

    def runtest(self) -> None:
        choice = self.choice
        result = self.config.stash[RUN].scenario(choice.flow, choice.cell, choice.others, item=self.nodeid)
        self.user_properties.append(("chaosharness_verdict", result.verdict.value))
        outcome(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, BadInput):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name
