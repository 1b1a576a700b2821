"""What holds for every suite: nothing outlives the session, and commands are this environment's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from leaks import Watch


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """The first fixture to be set up and the last to be torn down: fails the session if anything outlives it."""
    watch = Watch()
    yield
    left = watch.end()
    if left:
        pytest.fail("\n".join(["the session left behind, and the end of it had to be forced:", *left]), pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def commands_of_this_environment(nothing_is_left: None) -> Iterator[None]:
    """`python3` and `chaosharness` in a flow's command are those beside the Python that runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        yield
