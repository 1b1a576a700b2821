"""The project names no machine that it was made on, and no address that packages come from.

Paths of one machine break on every other; package indexes are the business of pip's, Go's and apt's own configuration.
"""

from __future__ import annotations

import re

import pytest
from sources import shown, tracked_files

# in pieces, since this file is held to the rule as well
FOLDERS = ("work", "root", "tmp/setup")
HOSTS = ("pypi", "org"), ("proxy", "golang", "org"), ("repo", "maven"), ("registry", "npmjs"), ("deb", "debian", "org")
PLACE = re.compile(
    "|".join([*(rf"(?<![\w.}}])/{folder}/" for folder in FOLDERS), *(r"\.".join(host) for host in HOSTS)]).encode()
)


def places(content: bytes) -> list[str]:
    """`line: what` for each such path or host."""
    lines = enumerate(content.splitlines(), 1)
    return [f"{number}: {found.decode()}" for number, line in lines for found in PLACE.findall(line)]


@pytest.mark.parametrize("bad", [*(f"cd /{folder}/main" for folder in FOLDERS), *(".".join(host) for host in HOSTS)])
def test_a_place_is_seen(bad: str) -> None:
    assert places(f"first\n{bad}\n".encode()) != []


def test_other_paths_and_hosts_are_fine() -> None:
    assert places(b"/usr/lib, POST /v1/work/orders, $root/work/x, example.org, github.com/Shopify/toxiproxy") == []


def test_no_tracked_file_names_a_place() -> None:
    paths = list(tracked_files())
    assert len(paths) > 100
    assert [f"{shown(path)}:{where}" for path in paths for where in places(path.read_bytes())] == []
