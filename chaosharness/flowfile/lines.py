"""Which line of a TOML text a key stands on: tomllib does not say, and an error that points needs it.

In: TOML text that tomllib has accepted. Out: key path to line, from 1. A best effort: what is not found has the line of
the table around it. To try it: `key_lines("[a]\\nb = 1")`.
"""

from __future__ import annotations

import json
import re

KeyPath = tuple[str, ...]

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_KEY = rf"({_PART}(?:[ \t]*\.[ \t]*{_PART})*)"
_HEADER = re.compile(rf"\[\[?[ \t]*{_KEY}[ \t]*\]")
_ASSIGN = re.compile(rf"[ \t]*{_KEY}[ \t]*=")
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[^\"'\#\[\]{},\n]+"
    r"|.",
    re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Every key path of the text, and every table above one, with the line of its first appearance."""
    text = text.replace("\r\n", "\n")
    lines: dict[KeyPath, int] = {}
    header: KeyPath = ()
    at = 0
    while at < len(text):
        if text[at] in " \t\n":
            at += 1
        elif table := _HEADER.match(text, at):
            header = _parts(table.group(1))
            _note(lines, header, text, at)
            at = _end_of_line(text, table.end())
        elif assign := _ASSIGN.match(text, at):
            path = header + _parts(assign.group(1))
            _note(lines, path, text, at)
            at = _skip_value(lines, path, text, assign.end())
        else:
            at = _end_of_line(text, at)
    return lines


def _skip_value(lines: dict[KeyPath, int], path: KeyPath, text: str, at: int) -> int:
    """Past the value that starts at `at`, noting the keys of inline tables in it."""
    around: list[tuple[str, KeyPath]] = []
    while at < len(text):
        if around and around[-1][0] == "{" and text[at - 1] in "{," and (inner := _ASSIGN.match(text, at)):
            path = around[-1][1] + _parts(inner.group(1))
            _note(lines, path, text, inner.start(1))
            at = inner.end()
            continue
        token = _TOKEN.match(text, at)
        if token is None:
            break
        found, at = token.group(), token.end()
        if found in ("{", "["):
            around.append((found, path))
        elif found in ("}", "]") and around:
            path = around.pop()[1]
        elif found == "\n" and not around:
            break
    return at


def _note(lines: dict[KeyPath, int], path: KeyPath, text: str, at: int) -> None:
    line = text.count("\n", 0, at) + 1
    for length in range(1, len(path) + 1):
        lines.setdefault(path[:length], line)


def _parts(key: str) -> KeyPath:
    return tuple(_unquoted(part) for part in re.findall(_PART, key))


def _unquoted(part: str) -> str:
    if part.startswith('"'):
        try:
            return str(json.loads(part))
        except ValueError:  # an escape that TOML has and JSON has not: the name is only used to find a line
            return part[1:-1]
    return part[1:-1] if part.startswith("'") else part


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1
