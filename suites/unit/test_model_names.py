"""Names as people type them: globs, and what an error says of a misspelt one."""

from __future__ import annotations

import pytest

from chaosharness.model.names import did_you_mean, glob_match, nearest


@pytest.mark.parametrize(
    ("glob", "text", "matches"),
    [
        ("payment[effect-ack:crash]", "payment[effect-ack:crash]", True),
        ("payment[*:cr?sh]", "payment[effect-ack:crash]", True),
        ("p[ab]", "pa", False),
        ("p[!a]", "p[!a]", True),
        ("a.b", "axb", False),
        ("a*", "a\nb", True),
        ("a?", "a", False),
        ("A", "a", False),
        ("", "", True),
        ("a", "ab", False),
    ],
)
def test_globs(glob: str, text: str, matches: bool) -> None:
    assert glob_match(glob, text) is matches


def test_the_nearest_name_comes_first_and_far_ones_not_at_all() -> None:
    assert nearest("rabitmq", ["redis", "rabbitmq", "kafka"], 3) == ["rabbitmq"]
    assert nearest("crash", ["crush", "crash"], 2) == ["crash", "crush"]
    assert nearest("nothing like it", ["a", "b"]) == []


def test_an_error_about_a_name_ends_with_what_there_is() -> None:
    assert did_you_mean("kafak", ["kafka", "redis", "kafka"]) == '; did you mean "kafka"? (known: kafka, redis)'
    assert did_you_mean("x", ["kafka"]) == " (known: kafka)"
    assert did_you_mean("x", []) == " (known: none)"
