"""The README's code is code: each block is run by suites/conformance/test_readme.py, or says why it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from readme_blocks import Command, blocks, commands, missing, play, problems
from sources import ROOT

GOOD = """
<!-- file: greeting.toml -->
```toml
word = "hello"
```

<!-- run: exit 3 -->
```console
$ cat greeting.toml && \\
  echo done
word = "…"
done
$ echo one two; exit 3
one …
```

```text
a picture
```

<!-- shown: it would install something -->
```console
$ install everything
```
"""


def page(mark: str, language: str, body: str) -> str:
    return f"{mark}\n```{language}\n{body}\n```\n"


def test_a_good_page_is_played_from_top_to_bottom(tmp_path: Path) -> None:
    found = blocks(GOOD)
    assert [(block.language, block.mark) for block in found] == [
        ("toml", "file"), ("console", "run"), ("text", None), ("console", "shown"),
    ]  # fmt: skip
    assert problems(found) == []
    assert [command.text for command in commands(found[1])] == [
        "cat greeting.toml &&    echo done",
        "echo one two; exit 3",
    ]
    assert list(play(found, tmp_path)) == []


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (page("", "console", "$ true"), "line 2: a block of console that nothing tests"),
        (page("words", "toml", "a = 1"), "a block of toml that nothing tests"),
        (page("<!-- run -->\n", "console", "$ true"), "that nothing tests"),
        (page("<!-- run -->", "python", "pass"), "a block of python cannot be marked run"),
        (page("<!-- file: a -->", "console", "$ true"), "a block of console cannot be marked file"),
        (page("<!-- shown -->", "python", "pass"), "the reason is missing"),
        (page("<!-- run: twice -->", "console", "$ true"), 'expected "exit N", found "twice"'),
        (page("<!-- run -->", "console", "true"), "nothing would be run"),
        (page("<!-- file: ../a -->", "toml", "a = 1"), 'expected the name of a file below the folder, found "../a"'),
        (page("", "bash", "true"), "a block of bash; expected console, toml, python"),
        ("<!-- file: a -->\n~~~~toml\na = 1\n```\n~~~~\n```python\npass", "line 6: a block of python that nothing"),
    ],
)
def test_what_would_go_untested_is_seen(bad: str, why: str) -> None:
    (problem,) = problems(blocks(bad))
    assert why in problem


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (page("<!-- run -->", "console", "$ false"), "exit 1, expected 0"),
        (page("<!-- run: exit 2 -->", "console", "$ true"), "exit 0, expected 2"),
        (page("<!-- run: exit 2 -->", "console", "$ exit 2\n$ exit 2"), "$ exit 2\nexit 2, expected 0"),
        (page("<!-- run -->", "console", "$ echo yes\nno"), "not printed: 'no'"),
        (page("<!-- file: a.py -->", "python", "def"), "line 2: invalid syntax"),
        (page("<!-- file: flows.toml -->", "toml", "[flow.a]\nsemantic = 'never'"), "flows.toml:2"),
    ],
)
def test_what_does_not_do_what_the_page_says_is_seen(bad: str, why: str, tmp_path: Path) -> None:
    (wrong,) = play(blocks(bad), tmp_path)
    assert why in wrong


@pytest.mark.parametrize(
    ("shown", "lacks"),
    [("a b", []), ("a b|c", []), ("a …|…|c", []), ("c|a b", ["a b"]), ("a", ["a"]), ("a b|a b", ["a b"])],
)
def test_shown_lines_are_in_the_output_in_order(shown: str, lacks: list[str]) -> None:
    assert missing(Command("it", shown.split("|")), "a b\n  between\n  c\n") == lacks


def test_every_block_of_the_readme_is_tested_or_says_why_not() -> None:
    readme = ROOT / "README.md"
    assert problems(blocks(readme.read_text(encoding="utf-8") if readme.exists() else "")) == []
