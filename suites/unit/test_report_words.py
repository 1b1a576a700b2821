"""Small pieces of text: nothing that a payload holds may act on a terminal or a reader."""

from __future__ import annotations

import pytest

from chaosharness.report.words import clean, counted, listed, pairs, seconds


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain → text", "plain → text"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\u2028b", "a\\u2028b"),
        ("\udc80", "\\udc80"),
        ("é 漢", "é 漢"),
        ("abcdef", "abcdef"),
    ],
)
def test_clean_shows_what_would_act(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_clean_shortens() -> None:
    assert clean("abcdef", 4) == "abc…"
    assert clean(None) == "None"


def test_counts_and_lists() -> None:
    assert counted(1, "message") == "1 message"
    assert counted(9980, "message") == "9,980 messages"
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed([f"k-{n}" for n in range(10_000)], 2) == "k-0, k-1 and 9,998 more"


def test_pairs_are_compact() -> None:
    assert pairs({"how": "push", "settled": False, "pids": [1, 2]}) == "how=push settled=false pids=[1, 2]"
    assert pairs({"odd": object}, 20).startswith("odd=")


@pytest.mark.parametrize(("s", "text"), [(0.004, "0.00 s"), (9.99, "9.99 s"), (31.42, "31.4 s"), (185, "3 min 05 s")])
def test_seconds(s: float, text: str) -> None:
    assert seconds(s) == text
