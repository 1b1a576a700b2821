"""Where programs are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaosharness.servers.availability import CACHE, cache_folders, find_program


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))


def test_path_comes_before_the_cache(tmp_path: Path) -> None:
    cached = program(tmp_path / "cache" / "bin" / "proxy")
    assert find_program("proxy", ("proxy",)) == cached
    on_path = program(tmp_path / "path" / "proxy")
    assert find_program("proxy", ("proxy",)) == on_path


def test_the_cache_may_have_another_name_for_it(tmp_path: Path) -> None:
    cached = program(tmp_path / "cache" / "bin" / "server")
    assert find_program("proxy", ("proxy", "server")) == cached
    assert find_program("server") is None


def test_what_may_not_be_executed_is_no_program(tmp_path: Path) -> None:
    program(tmp_path / "cache" / "bin" / "proxy").chmod(0o644)
    assert find_program("proxy", ("proxy",)) is None


def test_a_named_cache_is_the_only_one(tmp_path: Path) -> None:
    assert list(cache_folders()) == [tmp_path / "cache"]


def test_without_a_named_one_every_parent_folder_may_have_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE)
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    cached = program(tmp_path / ".cache" / "bin" / "proxy")
    assert find_program("proxy", ("proxy",)) == cached
