"""All that is wrong with a flow file, collected, so that one run shows it all.

In: key paths and what is wrong there. Out: one BadInput with a line for each, `flows.toml:12: flow.payment.x: …`, or
NotAvailableYet where nothing is wrong but that this version does not run it. To try it:
suites/unit/test_flowfile_bad.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from chaosharness.flowfile.lines import KeyPath
from chaosharness.model.errors import BadInput, NotAvailableYet


def dotted(path: KeyPath) -> str:
    """A key path as TOML writes it: `flow.payment.waive."dedup:wipe"`."""
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"' for part in path)


@dataclass(frozen=True, slots=True)
class Problem:
    """One of them. `later`: the contract knows it, and this version does not run it yet."""

    path: KeyPath
    what: str
    later: bool = False


class Problems:
    """Collects; `raise_any` ends the collecting."""

    def __init__(self, origin: str, lines: Mapping[KeyPath, int] | None = None) -> None:
        """`origin`: the flow file, or `file:line` of the `Flow` call; `lines`: where the file's keys stand."""
        self.origin = origin
        self._lines = lines or {}
        self._found: list[Problem] = []

    def add(self, path: KeyPath, what: str) -> None:
        """Something is wrong at `path`."""
        self._found.append(Problem(path, what))

    def later(self, path: KeyPath, what: str) -> None:
        """`path` asks for something that this version does not run yet."""
        self._found.append(Problem(path, what, later=True))

    def __len__(self) -> int:
        return len(self._found)

    def raise_any(self) -> None:
        """Raises BadInput, or NotAvailableYet if that is all there is, unless nothing was found."""
        found = sorted(dict.fromkeys(self._found), key=lambda problem: self._line(problem.path))
        if not found:
            return
        texts = [
            f"{self._where(problem.path)}: {'not available yet: ' if problem.later else ''}{problem.what}"
            for problem in found
        ]
        if all(problem.later for problem in found):
            raise NotAvailableYet("\n".join([found[0].what, *texts[1:]]), self._where(found[0].path))
        raise BadInput("\n".join(texts))

    def _line(self, path: KeyPath) -> int:
        """Of the key, or of the nearest table around it that the file has; 0 where nothing is known."""
        lengths = range(len(path), 0, -1)
        return next((self._lines[path[:n]] for n in lengths if path[:n] in self._lines), 0)

    def _where(self, path: KeyPath) -> str:
        line = self._line(path)
        place = f"{self.origin}:{line}" if line else self.origin
        return f"{place}: {dotted(path)}" if path else place
