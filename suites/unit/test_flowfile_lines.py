"""The line of a key, in TOML as people write it."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from chaosharness.flowfile.lines import key_lines

TEXT = '''\
# [not.a.table]
top = 1

[flow."pay ment".'sour.ce'] # comment = 1
a.b = "x = 1 # no comment"
env = { ONE = "{broker}", TWO = { "THREE" = 'x' } }
list = [
  "one = 1",  # [no.table]
  { inner = 1 },
]
text = """
fake = 1
[fake.table]
\\""" fake = 2
"""
raw = \'\'\'
fake = 3 \'\'\'
after = 1
[[several]]
x = 1
[[several]]
x = 2
'''


def test_every_key_and_nothing_else() -> None:
    source = ("flow", "pay ment", "sour.ce")
    assert key_lines(TEXT) == {
        ("top",): 2,
        ("flow",): 4,
        ("flow", "pay ment"): 4,
        source: 4,
        (*source, "a"): 5,
        (*source, "a", "b"): 5,
        (*source, "env"): 6,
        (*source, "env", "ONE"): 6,
        (*source, "env", "TWO"): 6,
        (*source, "env", "TWO", "THREE"): 6,
        (*source, "list"): 7,
        (*source, "list", "inner"): 9,
        (*source, "text"): 11,
        (*source, "raw"): 16,
        (*source, "after"): 18,
        ("several",): 19,
        ("several", "x"): 20,
    }


def test_the_text_is_what_it_seems() -> None:
    assert tomllib.loads(TEXT)["flow"]["pay ment"]["sour.ce"]["after"] == 1


def test_lines_that_end_as_on_windows() -> None:
    assert key_lines("a = 1\r\n[b]\r\nc = 2\r\n")["b", "c"] == 3


@given(st.text(alphabet="ab.= \"'{}[],#\n\\", max_size=60))
def test_it_ends_whatever_the_text(text: str) -> None:
    last = text.count("\n") + 1
    assert all(1 <= line <= last for line in key_lines(text).values())
