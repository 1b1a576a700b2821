"""A run folder read again: the same run, or an error that says what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report_example import example

from chaosharness.model.errors import BadInput
from chaosharness.model.verdict import RunResult
from chaosharness.report.document import document
from chaosharness.report.html import page
from chaosharness.report.read import read, rebuild
from chaosharness.report.write import write


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write(example(), tmp_path)
    assert read(tmp_path) == example()
    assert page(read(tmp_path)) == page(example())


def test_an_interrupted_run_and_what_broke_are_kept(tmp_path: Path) -> None:
    run = RunResult(7, example().results[:2], interrupted=True, broken=("the relay died",))
    write(run, tmp_path)
    assert read(tmp_path) == run
    assert read(tmp_path).exit_code == 130


def test_added_fields_are_passed_over() -> None:
    data = document(example())
    data["later"] = 1
    data["scenarios"][0]["later"] = {}
    assert rebuild(data, "run.json") == example()


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected the folder of a run, found nothing there"):
        read(tmp_path / "none")


def test_a_file(tmp_path: Path) -> None:
    write(example(), tmp_path)
    with pytest.raises(BadInput, match=r"found a file; pass the folder that it is in"):
        read(tmp_path / "run.json")


def test_another_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"not the folder of a run: it has no run\.json$"):
        read(tmp_path)


def test_the_folder_of_all_runs_names_the_last(tmp_path: Path) -> None:
    for name in ("2026-11-02", "2026-11-03"):
        write(example(), tmp_path / name)
    with pytest.raises(BadInput, match=r"the last run in it is .*2026-11-03"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "expected JSON, found 0 bytes that are not"),
        (b'{"schema": 1, "scen', "expected JSON, found 19 bytes that are not"),
        (b'{"a": "\xff"}', "expected JSON"),
        (b"[" * 200_000, "expected JSON"),
        (b"[]", "expected a run"),
        (b'{"seed": 1}', "expected a run"),
        (b'{"schema": 2}', "expected schema 1, found '2'"),
        (b'{"schema": 1, "seed": 1}', r"expected a list at `\$.scenarios`"),
        (b'{"schema": 1, "scenarios": []}', "missing required field `seed`"),
        (b'{"schema": 1, "seed": "x", "scenarios": []}', r"Expected `int`, got `str` - at `\$.seed`"),
        (b'{"schema": 1, "seed": 1, "scenarios": [3]}', "scenario 0: expected an object, found '3'"),
    ],
)
def test_a_broken_run_json(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(BadInput, match=found) as raised:
        read(tmp_path)
    assert str(tmp_path / "run.json") in str(raised.value)


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        (("verdict",), "failed", r"Invalid enum value 'failed' - at `\$.verdict`"),
        (("findings", 0, "kind"), "gone", r"Invalid enum value 'gone' - at `\$.findings\[0\].kind`"),
        (("findings", 0, "evidence", 0, "seq"), None, r"at `\$.findings\[0\].evidence\[0\].seq`"),
        (("flow",), 3, r"Expected `str`, got `int` - at `\$.flow`"),
    ],
)
def test_a_broken_scenario_is_named(path: tuple[Any, ...], value: object, found: str) -> None:
    data = json.loads(json.dumps(document(example())))
    place = data["scenarios"][8]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(BadInput, match=r"scenario 8 \(payment\[effect-ack:crash\]\): .*" + found):
        rebuild(data, "run.json")
