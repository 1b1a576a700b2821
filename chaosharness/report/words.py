"""Small pieces of text that every report shares: clean, counted, shortened.

Goes in: anything, also what a hostile payload left in a ledger. Comes out: one line that cannot move a cursor or turn
the reading direction. To try it: `suites/unit/test_report_words.py`.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence

KEYS_SHOWN = 20
"""How many keys of one finding are named before "and N more"."""


def clean(value: object, limit: int = 200) -> str:
    """`value` as one line of at most `limit` characters; control and format characters become visible escapes."""
    text = value if isinstance(value, str) else str(value)
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    if short.isascii() and short.isprintable():
        return short
    # Categories C*: control, format (bidirectional overrides), surrogate, private, unassigned; Zl and Zp break lines.
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c)[0] == "C" or c in "\u2028\u2029" else c
        for c in short
    )


def number(count: int) -> str:
    """`9,980`"""
    return f"{count:,}"


def counted(count: int, noun: str) -> str:
    """`1 message`, `9,980 messages`"""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(items: Sequence[str], shown: int = KEYS_SHOWN) -> str:
    """`a, b and c`; past `shown` items `a, b and 9,980 more`."""
    if len(items) > shown:
        return f"{', '.join(clean(i) for i in items[:shown])} and {len(items) - shown:,} more"
    *head, last = [clean(i) for i in items] or [""]
    return f"{', '.join(head)} and {last}" if head else last


def pairs(data: Mapping[str, object], limit: int = 200) -> str:
    """An event's data as `name=value …`: strings bare, all else as JSON."""
    parts = (f"{name}={_value(value)}" for name, value in data.items())
    return clean(" ".join(parts), limit)


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def seconds(duration_s: float) -> str:
    """`0.84 s`, `12.3 s`, `3 min 05 s`"""
    if duration_s >= 120:
        return f"{int(duration_s) // 60} min {int(duration_s) % 60:02d} s"
    return f"{duration_s:.1f} s" if duration_s >= 10 else f"{duration_s:.2f} s"
