"""A file that does not fit into a head is two: 400 lines are the most."""

from __future__ import annotations

from sources import python_files, shown

MOST = 400


def too_long(text: str) -> bool:
    return len(text.splitlines()) > MOST


def test_the_limit() -> None:
    assert not too_long("x = 1\n" * MOST)
    assert too_long("x = 1\n" * (MOST + 1))


def test_no_file_is_longer() -> None:
    paths = list(python_files("chaosharness", "suites", "fixtures", "ci"))
    assert any(path.parent.name == "ci" for path in paths)
    assert "\n".join(shown(path) for path in paths if too_long(path.read_text())) == ""
