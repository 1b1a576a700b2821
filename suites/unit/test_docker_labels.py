"""Whose a container is: told from its labels alone, and never wrongly taken for a dead owner's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosharness.keeper import tree
from chaosharness.model.wait import wait_for
from chaosharness.servers.docker.labels import FOLDER, NAME, OWNER, SESSION, OwnerState, labels, owner, owner_state

FIELDS = ("machine", "boot", "namespace", "pid", "start")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
        yield running
        running.kill()


def changed(text: str, **fields: str) -> dict[str, str]:
    """The label of an owner, with some of its fields replaced."""
    found = dict(zip(FIELDS, text.split(" "), strict=True))
    return {OWNER: " ".join({**found, **fields}.values())}


def test_what_they_say(tmp_path: Path) -> None:
    found = labels("5e55", "broker", tmp_path)
    assert found == {SESSION: "5e55", NAME: "broker", FOLDER: str(tmp_path), OWNER: owner(os.getpid())}
    assert owner_state(found) is OwnerState.ALIVE


def test_an_owner_that_lives_and_then_does_not(process: subprocess.Popen[bytes]) -> None:
    found = {OWNER: owner(process.pid)}
    assert owner_state(found) is OwnerState.ALIVE
    process.kill()
    wait_for("the process to end", 10, lambda: (row := tree.look(process.pid)) is not None and row.gone)
    assert owner_state(found) is OwnerState.DEAD  # nobody has asked for its exit code yet
    process.wait()
    assert owner_state(found) is OwnerState.DEAD


def test_another_process_with_the_same_id_is_another(process: subprocess.Popen[bytes]) -> None:
    assert owner_state(changed(owner(process.pid), start="1")) is OwnerState.DEAD


def test_before_this_machine_was_started_again(process: subprocess.Popen[bytes]) -> None:
    assert owner_state(changed(owner(process.pid), boot="before")) is OwnerState.DEAD


@pytest.mark.parametrize("pid", [os.getpid(), 2**22 + 1])
@pytest.mark.parametrize("fields", [{"machine": "other", "boot": "other"}, {"namespace": "1"}])
def test_who_is_out_of_sight_is_not_judged(pid: int, fields: dict[str, str]) -> None:
    assert owner_state(changed(owner(pid), **fields)) is OwnerState.ELSEWHERE


@given(st.one_of(st.text(), st.lists(st.text(alphabet="0123456789ab-", max_size=4), max_size=7).map(" ".join)))
def test_what_cannot_be_read_is_not_judged(text: str) -> None:
    assert owner_state({OWNER: text}) is OwnerState.ELSEWHERE


def test_without_a_label_nothing_is_said() -> None:
    assert owner_state({}) is OwnerState.ELSEWHERE
