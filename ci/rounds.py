"""The last full round of each long script, kept with the project: what it came to, of which commit.

In: a script's name and its result, when a full round has ended. Out: `ci/rounds.json`, to be committed; and a line for
each script, which `.ci/run` prints beside what its slices show. To try it: `python3 ci/rounds.py`.
"""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "ci" / "rounds.json"


def remember(script: str, options: str, result: str, seconds: float) -> None:
    """Replaces what is kept of the script with these options."""
    kept = read()
    kept[f"{script} {options}".strip()] = {
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "result": result,
        "seconds": round(seconds),
    }
    KEPT.write_text(json.dumps(dict(sorted(kept.items())), indent=4, ensure_ascii=False) + "\n", encoding="utf-8")


def read() -> dict[str, dict[str, object]]:
    """Command to its last full round."""
    found: dict[str, dict[str, object]] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    return found


def commit() -> str:
    """The commit that the code is of, with `+` where files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "chaosharness", "fixtures", "ci", ":!ci/rounds.json")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def main() -> None:
    for command, last in read().items():
        print(
            f"last full round of {command}: {last['result']} ({last['date']}, at {last['commit']}, {last['seconds']} s)"
        )


if __name__ == "__main__":
    main()
