"""Fixtures of the suites that run the whole product."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from leaks import Watch


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Fails the test, not only the session, if anything outlives it."""
    watch = Watch()
    yield watch
    left = watch.end()
    assert left == []
