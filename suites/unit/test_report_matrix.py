"""The grid: order and marks."""

from __future__ import annotations

import pytest
from report_example import PAYMENT, example, scenario, upheld

from chaosharness.model.verdict import RunResult
from chaosharness.model.window import WINDOWS
from chaosharness.report.matrix import Mark, grid, mark

BY_ID = {result.id: result for result in example().results}


@pytest.mark.parametrize(
    ("id", "expected"),
    [
        ("payment[stored:broker-kill]", Mark.UPHELD),
        ("shipping[stored:broker-kill]", Mark.WAIVED),
        ("shipping[store-deliver:cut]", Mark.MEASURED),
        ("payment[effect-ack:crash]", Mark.VIOLATED),
        ("payment[effect-ack:partition]", Mark.UNPROVEN),
        ("shipping[effect-ack:crash]", Mark.NOT_APPLICABLE),
    ],
)
def test_mark(id: str, expected: Mark) -> None:
    assert mark(BY_ID[id]) == expected


def test_windows_and_faults_are_in_the_catalogues_order_and_unknown_ones_last() -> None:
    cells = [
        ("mine", "odd"),
        ("poison", "killer"),
        ("effect-ack", "mine"),
        ("effect-ack", "crash"),
        ("publish-store", "cut"),
    ]
    table = grid(RunResult(1, tuple(scenario(PAYMENT, window, fault, upheld()) for window, fault in cells)))
    assert table.windows == ("publish-store", "effect-ack", "poison", "mine")
    assert table.faults["effect-ack"] == ("crash", "mine")
    assert [result.fault for result in table.cells["payment", "effect-ack"]] == ["crash", "mine"]
    assert table.at("payment", "poison", "crash") is None


def test_the_example_has_the_lifes_order() -> None:
    windows = grid(example()).windows
    assert list(windows) == [window for window in WINDOWS if window in windows]


def test_signs_are_told_apart_without_colour() -> None:
    assert len({m.sign for m in Mark}) == len({m.ascii for m in Mark}) == len(Mark)
    assert all(m.ascii.isascii() and len(m.ascii) == len(m.sign) == 1 for m in Mark)
