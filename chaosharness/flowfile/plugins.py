"""What a flow file needs of the registry: which brokers, sinks and faults there are, and what they say of a flow.

The registry is this package's sibling; whoever loads a flow file hands it in. To try it: a literal stand-in in
suites/unit/test_flowfile_bad.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol, TypeVar

from chaosharness.flowfile.table import Table
from chaosharness.model.errors import ChaosError, HarnessBroke
from chaosharness.model.flow import Flow
from chaosharness.model.plan import Cell

T = TypeVar("T")


class Plugins(Protocol):
    """`chaosharness.registry.Registry`, as far as a flow file goes."""

    def names(self, group: str) -> Collection[str]:
        """The names of a group of entry points: `brokers`, `sinks`, `faults`, `servers`."""
        ...

    def get(self, group: str, name: str) -> Any:
        """The plugin itself. Raises BadInput where it cannot be used."""
        ...

    def cells(self, flow: Flow) -> Sequence[Cell]:
        """The flow's row of the matrix."""
        ...


def ask_plugin(who: str, question: Callable[[], T]) -> T:
    """Asks a plugin, which may be anybody's code: what it raises by accident becomes HarnessBroke naming it."""
    try:
        return question()
    except ChaosError:
        raise
    except Exception as error:
        raise HarnessBroke(f"{who} failed while it checked a flow: {type(error).__name__}: {error}") from error


def add_problems(table: Table, texts: Sequence[str]) -> None:
    """Records what a broker or a sink says of its table; a text `key: …` points at that key."""
    for text in texts:
        key, colon, rest = text.partition(":")
        key = key.strip().strip("`\"'")
        if colon and re.fullmatch(r"[\w.-]+", key) and key.split(".")[0] in table.data:
            table.problems.add((*table.path, *key.split(".")), rest.strip())
        else:
            table.problems.add(table.path, text)


def pick_kind(table: Table, available: Collection[str], contract: Collection[str], what: str) -> str | None:
    """The one key of `table` that names its broker or sink; None, and a problem, where there is not exactly one.

    `available`: what is installed; `contract`: what the contract knows, of which the rest is not available yet.
    """
    kinds = list(dict.fromkeys([*available, *contract]))
    table.ask(*kinds)
    named = [kind for kind in kinds if kind in table]
    if len(named) > 1:
        table.problems.add(table.path, f"{' and '.join(named)}: expected one {what}, found {len(named)}")
        return None
    return named[0] if named else None
