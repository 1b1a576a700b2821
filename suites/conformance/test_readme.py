"""What the README has a reader type does what it says, from top to bottom, against real servers."""

from __future__ import annotations

from pathlib import Path

import pytest
from readme_blocks import blocks, play

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(900)
def test_the_readme_does_what_it_says(tmp_path: Path) -> None:
    for name in ("ci", "fixtures"):
        (tmp_path / name).symlink_to(ROOT / name)
    readme = ROOT / "README.md"
    found = blocks(readme.read_text(encoding="utf-8") if readme.exists() else "")
    assert list(play(found, tmp_path)) == []
