"""The twins' manifests: what each deliberately broken service must be found out by.

In: fixtures/twins/*.toml. Out: `Expected`s, in their order. To try it: `ci/twins --slice`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaosharness.model.errors import BadInput
from chaosharness.model.verdict import Result, Verdict


@dataclass(frozen=True, slots=True)
class Expected:
    """What one scenario must find of one twin."""

    flow_file: Path
    twin: str
    scenario: str
    finding: str
    attribution: str | None = None

    def __str__(self) -> str:
        return f"{self.finding} ({self.attribution})" if self.attribution else self.finding

    def found_by(self, result: Result) -> bool:
        """Whether the scenario is violated, and by this finding."""
        return result.verdict is Verdict.VIOLATED and any(
            finding.kind.value == self.finding
            and finding.breaks
            and finding.waived is None
            and self.attribution in (None, finding.attribution)
            for finding in result.judgement.findings
        )


def read(manifests: Sequence[Path], only: Sequence[str] | None) -> list[Expected]:
    """What the manifests expect, in their order. Raises BadInput for a twin that none of them has."""
    known: dict[str, list[Expected]] = {}
    for path in manifests:
        manifest: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        flow_file = (path.parent / manifest["flow_file"]).resolve()
        for name, twin in manifest["twin"].items():
            known[name] = [
                Expected(flow_file, name, one["scenario"], one["finding"], one.get("attribution"))
                for one in twin["expect"]
            ]
    for name in only or []:
        if name not in known:
            raise BadInput(f"--only {name}: expected one of {', '.join(known)}")
    return [one for name, expected in known.items() if not only or name in only for one in expected]
