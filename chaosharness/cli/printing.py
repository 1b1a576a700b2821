"""What a finished run looks like on a terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from chaosharness.model.verdict import RunResult, Verdict
from chaosharness.report import terminal


def print_run(run: RunResult, page: Path | None, *, reasons: bool = False) -> None:
    """The matrix, each violation and unproven scenario explained, the summary; `reasons`: why not applicable."""
    style = style_of(sys.stdout)
    print(terminal.matrix(run, **style))
    for result in run.results:
        if result.verdict is Verdict.VIOLATED:
            print("\n" + terminal.violation(result, **style))
        elif result.verdict is Verdict.UNPROVEN:
            print("\n" + terminal.unproven(result, **style))
    print("\n" + terminal.summary(run, page, reasons=reasons, **style))


def style_of(stream: Any) -> dict[str, Any]:
    """Colour for a terminal only, and marks that its encoding has."""
    colour = stream.isatty() and "NO_COLOR" not in os.environ
    return {"colour": colour, "encoding": getattr(stream, "encoding", None) or "ascii"}
