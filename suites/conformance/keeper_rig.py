"""Recipes and looks that the keeper's tests share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from chaosharness.keeper import tree
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Recipe

PATH = "/usr/local/bin:/usr/bin:/bin"
SOON_S = 10.0


def recipe(folder: Path, name: str, *argv: str, restart: str = "never", stdio: tuple[int, int] | None = None) -> Recipe:
    """`argv` in `folder`, its log beside it."""
    return Recipe(name, argv, {"PATH": PATH}, folder, folder / f"{name}.log", restart=restart, stdio=stdio)


def shell(folder: Path, name: str, script: str, restart: str = "never") -> Recipe:
    return recipe(folder, name, "sh", "-c", script, restart=restart)


def python(folder: Path, name: str, code: str, restart: str = "never") -> Recipe:
    return recipe(folder, name, sys.executable, "-Suc", code, restart=restart)


def logged(recipe: Recipe) -> list[str]:
    """What the process wrote so far, without the times and the keeper's own lines."""
    if not recipe.log.exists():
        return []
    lines = (line.partition(" ")[2] for line in recipe.log.read_text().splitlines())
    return [line for line in lines if not line.startswith("[keeper]")]


def wait_logged(recipe: Recipe, text: str, times: int = 1) -> list[str]:
    """Waits until a line holds `text` (so many lines, with `times`), and returns all lines."""

    def look() -> list[str] | None:
        lines = logged(recipe)
        return lines if sum(text in line for line in lines) >= times else None

    return wait_for(f"{text!r} in {recipe.log.name}", SOON_S, look, last_seen=lambda: logged(recipe)[-5:])


def lives(pid: int) -> bool:
    """Whether there is such a process, more than its exit code."""
    row = tree.look(pid)
    return row is not None and not row.gone


def wait_gone(*pids: int) -> None:
    def left() -> list[int]:
        return [pid for pid in pids if lives(pid)]

    wait_for(f"{pids} to be gone", SOON_S, lambda: not left(), last_seen=left)


def parent(pid: int) -> int:
    row = tree.look(pid)
    assert row is not None
    return row.ppid


def comm(pid: int) -> str:
    with open(f"/proc/{pid}/comm", encoding="utf-8") as name:
        return name.read().strip()


def close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)
