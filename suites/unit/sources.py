"""The project's own files, for the rules that hold them: Python by suffix or by first line, and all that is tracked."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python_files(*folders: str) -> Iterator[Path]:
    """Every Python file below these folders of the project; scripts without a suffix too."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix == ".py" or (not path.suffix and path.is_file() and _is_script(path)):
                yield path


def tracked_files() -> Iterator[Path]:
    """What a clone would hold, as it stands in the working folder."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in listed.stdout.split("\0"):
        path = ROOT / name
        if name and path.is_file():
            yield path


def shown(path: Path) -> str:
    """Relative to the project, as a person would type it."""
    return str(path.relative_to(ROOT))


def _is_script(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(200)
    return first.startswith(b"#!") and b"python" in first
