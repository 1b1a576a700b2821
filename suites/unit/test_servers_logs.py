"""The end of a log, for error messages."""

from __future__ import annotations

from pathlib import Path

from chaosharness.servers.logs import tail


def test_the_last_lines_under_the_log_s_name(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert tail(log, 2) == f"{log} ends with:\nline 99998\nline 99999"


def test_fewer_lines_than_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"only \xff")
    assert tail(log) == f"{log} ends with:\nonly �"


def test_no_log_and_an_empty_one_are_told_apart(tmp_path: Path) -> None:
    assert "no log" in tail(tmp_path / "none")
    (tmp_path / "empty").touch()
    assert "is empty" in tail(tmp_path / "empty")
