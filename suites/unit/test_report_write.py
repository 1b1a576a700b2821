"""Both files are whole or not there, whatever happens while they are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_example import example

from chaosharness.model.verdict import RunResult
from chaosharness.report import write as writing
from chaosharness.report.document import text
from chaosharness.report.html import page
from chaosharness.report.write import write, write_page


def test_a_run_leaves_two_files(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "1"
    assert write(example(), folder) == folder / "report.html"
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "run.json"]
    assert (folder / "run.json").read_text("utf-8") == text(example())
    assert (folder / "report.html").read_text("utf-8") == page(example())


def test_it_can_be_written_again(tmp_path: Path) -> None:
    write(RunResult(1, ()), tmp_path)
    write(example(), tmp_path)
    assert (tmp_path / "run.json").read_text("utf-8") == text(example())


def test_the_page_alone_leaves_run_json_as_it_was(tmp_path: Path) -> None:
    write(example(), tmp_path)
    before = (tmp_path / "run.json").stat().st_mtime_ns
    write_page(example(), tmp_path)
    assert (tmp_path / "run.json").stat().st_mtime_ns == before


def test_an_interrupt_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(RunResult(1, ()), tmp_path)
    before = (tmp_path / "run.json").read_bytes()

    def interrupted(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(example(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "run.json"]
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_page_that_cannot_be_drawn_does_not_cost_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(run: RunResult) -> str:
        raise ValueError("no page")

    monkeypatch.setattr(writing, "page", fails)
    with pytest.raises(ValueError, match="no page"):
        write(example(), tmp_path)
    assert (tmp_path / "run.json").is_file()
