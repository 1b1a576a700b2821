"""The code blocks of a Markdown page, run as a reader would run them.

Goes in: the page's text. Comes out: its blocks, and what is wrong with them. Each block of console, toml or python has
a mark, a comment on the line above its fence:

    <!-- run -->            console: each line that begins with `$ ` is run, and must exit with 0; what the page shows
                            below it must be in its output, line by line, in order; `…` stands for anything
    <!-- run: exit 1 -->    the same, with this exit code of the last command
    <!-- file: NAME -->     toml, python: is this file in the folder where commands run; a flow file must be a good one
    <!-- shown: REASON -->  is not run, and why

A block without a mark is a problem: nothing on the page goes untested in silence.
To try it: suites/unit/test_rules_readme.py, suites/conformance/test_readme.py.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaosharness.flowfile import load
from chaosharness.model.errors import BadInput
from chaosharness.registry import Registry

RUN, FILES = ("console",), ("toml", "python")
NOT_CODE = ("", "text", "json", "mermaid")
FENCE = re.compile(r"\s*(`{3,}|~{3,})\s*(\S*).*")
MARK = re.compile(r"\s*<!--\s*(run|file|shown)(?::\s*(.*?))?\s*-->\s*")
EXIT = re.compile(r"exit (\d+)")
ANYTHING = "…"
WITHIN_S = 300.0


@dataclass(frozen=True)
class Block:
    """One fenced block. `line` is its fence's; `mark` None where there is none."""

    line: int
    language: str
    text: str
    mark: str | None = None
    value: str = ""

    @property
    def exit_code(self) -> int:
        found = EXIT.fullmatch(self.value)
        return int(found[1]) if found else 0


@dataclass(frozen=True)
class Command:
    """A command as it is typed, and the lines that the page shows below it."""

    text: str
    shown: Sequence[str]


def blocks(page: str) -> list[Block]:
    """All of them, in order. A fence that is never closed runs to the end."""
    found: list[Block] = []
    lines = list(enumerate(page.splitlines(), 1))
    above = ""
    while lines:
        number, line = lines.pop(0)
        opened = FENCE.fullmatch(line)
        if not opened:
            above = line
            continue
        body: list[str] = []
        while lines and lines[0][1].strip() != opened[1]:
            body.append(lines.pop(0)[1])
        del lines[:1]
        mark = MARK.fullmatch(above)
        found.append(
            Block(
                number,
                opened[2].lower(),
                "\n".join(body) + "\n",
                mark[1] if mark else None,
                (mark[2] or "") if mark else "",
            )
        )
        above = ""
    return found


def problems(page: Sequence[Block]) -> list[str]:
    """What keeps a block from being tested, one line each."""
    return [f"line {block.line}: {text}" for block in page for text in _problems(block)]


def commands(block: Block) -> list[Command]:
    """What a console block has one type, each with what it shows."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and line.strip():
            found[-1][1].append(line)
    return [Command(text, tuple(shown)) for text, shown in found]


def missing(command: Command, output: str) -> list[str]:
    """Those of the shown lines that the output does not have, in this order."""
    lines = iter([line.strip() for line in output.splitlines()])
    wanted = [".*".join(map(re.escape, line.strip().split(ANYTHING))) for line in command.shown]
    return [
        shown
        for shown, pattern in zip(command.shown, wanted, strict=True)
        if pattern != ".*" and not any(re.fullmatch(pattern, line) for line in lines)
    ]


def play(page: Sequence[Block], folder: Path) -> Iterator[str]:
    """Runs the whole page in `folder`, from top to bottom; yields what went wrong."""
    for block in page:
        if block.mark == "file":
            yield from _write(block, folder)
        elif block.mark == "run":
            yield from _run(block, folder)


def _problems(block: Block) -> Iterator[str]:
    if block.language not in (*RUN, *FILES):
        if block.language not in NOT_CODE:
            yield f"a block of {block.language}; expected {', '.join((*RUN, *FILES, *filter(None, NOT_CODE)))}"
    elif block.mark is None:
        yield f"a block of {block.language} that nothing tests; mark it: see suites/readme_blocks.py"
    elif block.mark == "shown":
        if not block.value:
            yield "shown, and not run: the reason is missing"
    elif (block.mark == "run") != (block.language in RUN):
        yield f"a block of {block.language} cannot be marked {block.mark}"
    elif block.mark == "run":
        if block.value and not EXIT.fullmatch(block.value):
            yield f'expected "exit N", found "{block.value}"'
        if not commands(block):
            yield "no line begins with `$ `: nothing would be run"
    elif not block.value or Path(block.value).is_absolute() or ".." in Path(block.value).parts:
        yield f'expected the name of a file below the folder, found "{block.value}"'


def _write(block: Block, folder: Path) -> Iterator[str]:
    path = folder / block.value
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text, encoding="utf-8")
    if block.language == "python":
        try:
            compile(block.text, block.value, "exec")
        except SyntaxError as error:
            yield f"line {block.line}: {error}"
    elif re.search(r"^\[flow\.", block.text, re.MULTILINE):
        try:
            load(path, Registry.load())
        except BadInput as error:
            yield f"line {block.line}: {error}"


def _run(block: Block, folder: Path) -> Iterator[str]:
    *before, last = commands(block)
    for command in [*before, last]:
        ran = subprocess.run(
            ["bash", "-c", command.text],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WITHIN_S,
        )
        expected = block.exit_code if command is last else 0
        if ran.returncode != expected:
            yield f"line {block.line}: $ {command.text}\nexit {ran.returncode}, expected {expected}:\n{ran.stdout}"
        elif lacks := missing(command, ran.stdout):
            yield f"line {block.line}: $ {command.text}\nnot printed: {lacks[0]!r}; it printed:\n{ran.stdout}"
