"""The workflow templates are what GitHub and GitLab take: by actionlint, by schemas, and by what neither knows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ci_templates import READ, SETUP, TEMPLATES, Job, github, parse, run
from sources import ROOT

ACTIONLINT = ROOT / ".cache" / "bin" / "actionlint"
GITHUB = (TEMPLATES / "github.yml").read_text(encoding="utf-8")
GITLAB = (TEMPLATES / "gitlab-ci.yml").read_text(encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    subprocess.run([SETUP], check=True, stdin=subprocess.DEVNULL, timeout=250)


def actionlint(text: str, folder: Path) -> str:
    """What it has against a workflow; nothing if it is a good one."""
    return complaint([str(ACTIONLINT), "-oneline"], text, folder)


def schema(name: str, text: str, folder: Path) -> str:
    """What the schema has against a file; nothing if it fits. It comes with check-jsonschema: no network is asked."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{name}"]
    return complaint(command, text, folder)


def complaint(command: list[str], text: str, folder: Path) -> str:
    path = folder / "template.yml"
    path.write_text(text, encoding="utf-8")
    ended = subprocess.run([*command, path], capture_output=True, text=True, timeout=60, cwd=folder)
    return (ended.stdout + ended.stderr or f"exit code {ended.returncode}") if ended.returncode else ""


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


def test_actionlint_has_nothing_against_the_workflow(tmp_path: Path) -> None:
    assert actionlint(GITHUB, tmp_path) == ""


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("timeout-minutes: 30", "timeout-minutes: soon", "expecting a single"),
        ("runs-on: ubuntu-latest", "runs-on: ubuntu-newest", 'label "ubuntu-newest" is unknown'),
        ("github.run_number", "github.run_nmber", 'property "run_nmber" is not defined'),
        ("include-hidden-files", "include-hiden-files", 'input "include-hiden-files" is not defined'),
        ("contents: read", "contents: some", '"some" is invalid as permission'),
        ("cron: \"17 3 * * *\"", "cron: \"17 25 * * *\"", "invalid CRON format"),
    ],
)  # fmt: skip
def test_actionlint_sees_what_is_wrong(old: str, new: str, why: str, tmp_path: Path) -> None:
    assert why in actionlint(changed(GITHUB, old, new), tmp_path)


@pytest.mark.parametrize(("name", "text"), [("github-workflows", GITHUB), ("gitlab-ci", GITLAB)])
def test_the_schema_has_nothing_against_the_template(name: str, text: str, tmp_path: Path) -> None:
    assert schema(name, text, tmp_path) == ""


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("  script:", "  scripts:", "'scripts' was unexpected"),
        ("- pip install", "- pip: install", "is not of type 'string'"),
        ("when: always", "when: sometimes", "'sometimes' is not one of"),
        ("alias: docker", "alias: [docker]", "['docker'] is not of type 'string'"),
        ('command: ["--tls=false"]', "command: {tls: false}", "{'tls': False} is not of type 'string'"),
        ("expire_in: 2 weeks", "expires: 2 weeks", "'expires' was unexpected"),
    ],
)
def test_the_schema_sees_what_is_wrong_for_gitlab(old: str, new: str, why: str, tmp_path: Path) -> None:
    assert why in schema("gitlab-ci", changed(GITLAB, old, new), tmp_path)


def test_both_run_the_same_command() -> None:
    lines = [line for text in (GITHUB, GITLAB) for line in re.findall(r"pytest flows\.toml[^\n]*", text)]
    first, second = lines
    assert second.removesuffix(" --junitxml=junit.xml") == first
    assert " --chaos-backend=docker " in first


def test_the_workflow_may_only_read() -> None:
    assert parse(GITHUB)["permissions"] == {"contents": "read"}


def test_actions_are_named_by_their_major_version() -> None:
    (job,) = parse(GITHUB)["jobs"].values()
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert len(used) == 3
    assert [name for name in used if not re.fullmatch(r"actions/[a-z-]+@v\d+", name)] == []


def test_the_folder_of_runs_is_uploaded_though_its_name_begins_with_a_dot() -> None:
    (job,) = parse(GITHUB)["jobs"].values()
    (upload,) = [step for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
    assert upload["with"]["path"].startswith(".")
    assert upload["with"]["include-hidden-files"] is True


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("github.yml", "upload-artifact@v7\n        if: always()", "upload-artifact@v7"),
        ("gitlab-ci.yml", "when: always", "when: on_success"),
    ],
)
def test_the_reports_are_kept_also_when_a_promise_is_broken(name: str, old: str, new: str) -> None:
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    assert ".chaosharness/runs" in READ[name](text).kept
    assert READ[name](changed(text, old, new)).kept == ()


STEPS = """
jobs:
  one:
    env:
      WORD: said
    steps:
      - run: echo $WORD; {first}
      - run: echo never
      - run: |
          false | cat
          echo "# $WORD" >> "$GITHUB_STEP_SUMMARY"
        if: always()
"""


@pytest.mark.parametrize(("first", "codes"), [("true", [0, 0, 0]), ("exit 3", [3, 0]), ("false; true", [1, 0])])
def test_scripts_are_run_as_github_runs_them(first: str, codes: list[int], tmp_path: Path) -> None:
    ran = run(github(STEPS.replace("{first}", first)), tmp_path, {"PATH": "/usr/bin:/bin"})
    assert [one.code for one in ran] == codes
    assert ran[0].output == "said\n"
    assert ran[-1].summary == "# said\n"


def test_what_is_not_understood_is_an_error() -> None:
    with pytest.raises(ValueError, match="if: failure"):
        github(STEPS.replace("always()", "failure()"))
    with pytest.raises(ValueError, match=r"secrets\.KEY"):
        github(STEPS.replace("said", "${{ secrets.KEY }}"))
    assert isinstance(github(STEPS), Job)
