"""One table of a flow file, read key by key: each with its type, its range, and an error that points.

In: a mapping as tomllib gives it (or as `Flow` builds it), and its key path. Out: typed values; None where a key is
absent or wrong, and then the problem is recorded. `close()` reports every key that nobody asked for. To try it:
suites/unit/test_flowfile_bad.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from chaosharness.flowfile.lines import KeyPath
from chaosharness.flowfile.problems import Problems
from chaosharness.model.key import Place
from chaosharness.model.names import did_you_mean


def found(value: object) -> str:
    """A value as an error shows it: short, in the words of TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}…"'
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) or abs(value) >= 10**18 else str(value)
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, Sequence):
        return "an array"
    return f"a {type(value).__name__}"


def is_plain(value: object) -> bool:
    """Whether JSON could carry it: plans and gate options cross processes."""
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and is_plain(inner) for name, inner in value.items())
    if isinstance(value, list):
        return all(is_plain(inner) for inner in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int)


class Table:
    """A table, and which of its keys have been asked for."""

    def __init__(self, data: Mapping[str, Any], path: KeyPath, problems: Problems) -> None:
        self.data = data
        self.path = path
        self.problems = problems
        self._asked: dict[str, None] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.data

    def at(self, name: str) -> KeyPath:
        """The key path of one of its keys."""
        return (*self.path, name)

    def ask(self, *names: str) -> None:
        """Marks keys as known without reading them."""
        self._asked.update(dict.fromkeys(names))

    def wrong(self, name: str, expected: str) -> None:
        """Records that the value of `name` is not what was expected."""
        self.problems.add(self.at(name), f"expected {expected}, found {found(self.data[name])}")

    def unasked(self) -> list[str]:
        """The keys that nobody asked for."""
        return [name for name in self.data if name not in self._asked]

    def close(self) -> None:
        """Records every key that nobody asked for as unknown, with the nearest known one."""
        for name in self.unasked():
            self.problems.add(self.at(name), f"unknown key{did_you_mean(name, self._asked)}")

    # Each of these reads one key: its value; None where it is absent or wrong, and then the problem is recorded.

    def text(self, name: str, *, empty: bool = False) -> str | None:
        """A string; not blank, unless `empty`."""
        value: str | None = self._read(name, "a string", lambda v: isinstance(v, str) and "\0" not in v)
        if value is not None and not empty and not value.strip():
            self.wrong(name, "a string that is not empty")
            return None
        return value

    def flag(self, name: str) -> bool | None:
        """true or false."""
        value: bool | None = self._read(name, "true or false", lambda v: isinstance(v, bool))
        return value

    def count(self, name: str, least: int = 0, most: int = 1_000_000) -> int | None:
        """A whole number in a range."""

        def good(value: Any) -> bool:
            return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

        value: int | None = self._read(name, f"a whole number from {least} to {most}", good)
        return value

    def number(self, name: str, unit: str, *, zero: bool = False) -> float | None:
        """A finite number above zero (or at zero, if `zero`)."""

        def good(value: Any) -> bool:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return number and 0 <= value <= 1e9 and (zero or value > 0)

        value = self._read(name, f"a number of {unit}{'' if zero else ' above 0'}", good)
        return None if value is None else float(value)

    def choice(self, name: str, options: Collection[str], what: str) -> str | None:
        """One of a few words."""
        value = self.text(name)
        if value is not None and value not in options:
            self.problems.add(self.at(name), f'unknown {what} "{value}"{did_you_mean(value, options)}')
            return None
        return value

    def place(self, name: str) -> str | None:
        """The place of a key: `header:Name`, `body:json:$.a.b`, …"""
        value = self.text(name)
        wrong = Place(value).problem() if value is not None else None
        if wrong:
            self.problems.add(self.at(name), f'"{value}" is no place of a key: {wrong}')
            return None
        return value

    def texts(self, name: str) -> tuple[str, ...] | None:
        """An array of strings, none of them blank."""

        def good(value: Any) -> bool:
            return isinstance(value, list) and all(isinstance(one, str) and one.strip() for one in value)

        value = self._read(name, "an array of strings", good)
        return None if value is None else tuple(value)

    def strings(self, name: str) -> dict[str, str] | None:
        """A table of strings, e.g. an environment."""
        inner = self.table(name)
        if inner is None:
            return None
        values = {key: inner.text(key, empty=True) for key in inner.data}
        return {key: value for key, value in values.items() if value is not None}

    def plain(self, name: str) -> Any:
        """Anything that JSON could carry."""
        return self._read(name, "strings, numbers, true or false, arrays and tables of these", is_plain)

    def table(self, name: str) -> Table | None:
        """A table below this one."""

        def good(value: Any) -> bool:
            return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)

        value = self._read(name, "a table", good)
        return None if value is None else Table(value, self.at(name), self.problems)

    def tables(self) -> Iterator[tuple[str, Table]]:
        """Every key as a table of its own, e.g. the flows under `flow`."""
        for name in self.data:
            inner = self.table(name)
            if inner is not None:
                yield name, inner

    def _read(self, name: str, expected: str, good: Callable[[Any], bool]) -> Any:
        self.ask(name)
        if name not in self.data:
            return None
        if good(self.data[name]):
            return self.data[name]
        self.wrong(name, expected)
        return None
