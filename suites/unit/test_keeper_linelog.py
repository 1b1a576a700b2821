"""Bytes in any pieces to lines with times."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaosharness.keeper.linelog import LINE_BYTES, LineLog

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")


def lines(path: Path) -> list[str]:
    """Without their times, each of which must be there."""
    found = path.read_bytes().decode().split("\n")
    assert found.pop() == ""
    assert all(STAMP.match(line) for line in found)
    return [STAMP.sub("", line) for line in found]


def written(path: Path, *pieces: bytes, **options: int) -> list[str]:
    path.unlink(missing_ok=True)
    log = LineLog(path, **options)
    for piece in pieces:
        log.feed(piece)
    log.close()
    return lines(path)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], []),
        ([b"one\ntwo\n"], ["one", "two"]),
        ([b"o", b"ne\nt", b"wo"], ["one", "two"]),
        ([b"\n\n"], ["", ""]),
        ([b"dos\r\n"], ["dos"]),
        ([b"\xc3", b"\xa4\n"], ["ä"]),
        ([b"\xff\n"], ["�"]),
    ],
)
def test_lines(tmp_path: Path, pieces: list[bytes], expected: list[str]) -> None:
    assert written(tmp_path / "log", *pieces) == expected


@given(st.lists(st.binary(max_size=40)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_the_pieces_make_no_difference(tmp_path: Path, pieces: list[bytes]) -> None:
    log = tmp_path / "log"
    assert written(log, *pieces) == written(log, b"".join(pieces))


def test_a_long_line_is_broken_and_loses_nothing(tmp_path: Path) -> None:
    text = b"x" * (3 * LINE_BYTES + 5)
    for pieces in ([text + b"\n"], [text], [text[:100], text[100:] + b"\n"]):
        found = written(tmp_path / "log", *pieces)
        assert "".join(found).encode() == text
        assert max(map(len, found)) <= LINE_BYTES


def test_an_endless_line_does_not_stay_in_memory(tmp_path: Path) -> None:
    log = LineLog(tmp_path / "log")
    for _ in range(100):
        log.feed(b"x" * LINE_BYTES)
    assert len("".join(lines(tmp_path / "log"))) >= 99 * LINE_BYTES
    log.close()


def test_a_full_log_stops_growing_and_says_so_once(tmp_path: Path) -> None:
    found = written(tmp_path / "log", *[b"0123456789\n"] * 100, limit=1000)
    assert found[-1] == "[keeper] the log is full (1000 bytes): what follows is thrown away"
    assert set(found[:-1]) == {"0123456789"}
    assert 10 < len(found) < 50


def test_the_limit_is_of_the_file_whoever_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 1000)
    log = LineLog(tmp_path / "log", limit=1000)
    log.feed(b"more\n")
    log.close()
    assert (tmp_path / "log").stat().st_size == 1000


def test_a_note_is_the_keeper_s_own(tmp_path: Path) -> None:
    log = LineLog(tmp_path / "log")
    log.note("started")
    log.close()
    assert lines(tmp_path / "log") == ["[keeper] started"]
