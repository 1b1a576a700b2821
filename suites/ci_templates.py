"""The workflow templates of ci/templates, read and run as the CI systems do it.

Goes in: a template's text, a folder that stands for the checkout, an environment. Comes out: what each shell script of
its one job exited with and said, in order. What `uses:` an action, the images and the services are not run.
To try it: suites/conformance/test_ci_templates.py.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from ruamel.yaml import YAML

TEMPLATES = Path(__file__).parents[1] / "ci" / "templates"
SETUP = TEMPLATES / "setup"
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
ON_A_PULL_REQUEST = {"github.event_name == 'schedule' && github.run_number || 1": "1"}
"""What GitHub puts in place of an expression. One that is not here is an error: nothing is evaluated."""
ALWAYS = "always()"
ONLY_THERE = ("DOCKER_HOST",)
"""Variables that name what a service container of the CI system gives; here the machine's own is used."""
WITHIN_S = 240.0


@dataclass(frozen=True)
class Step:
    """One script, in a shell of its own. `always`: it is run also if one before it has failed."""

    shell: tuple[str, ...]
    script: str
    always: bool = False


@dataclass(frozen=True)
class Job:
    """What a CI system makes of a template. `kept`: the paths that it uploads, failure or not; `junit` among them."""

    steps: tuple[Step, ...]
    variables: Mapping[str, str]
    kept: tuple[str, ...] = ()
    junit: str | None = None


@dataclass(frozen=True)
class Ran:
    """A step's end. `summary`: what it wrote into $GITHUB_STEP_SUMMARY."""

    code: int
    output: str = field(repr=False)
    summary: str = field(default="", repr=False)


def parse(text: str) -> Any:
    """YAML 1.2, as the CI systems read it: `on` is a word, not true."""
    return YAML(typ="safe", pure=True).load(text)


def github(text: str) -> Job:
    """A workflow of one job. Raises ValueError for a condition or an expression that is not known here."""
    (job,) = parse(text)["jobs"].values()
    steps = [
        # Where no shell is named, it is this one: a failure within a pipe is none.
        Step(("bash", "-e"), _expand(step["run"]), _always(step))
        for step in job["steps"]
        if "run" in step
    ]
    kept = [
        step["with"]["path"]
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/upload-artifact@") and _always(step)
    ]
    return Job(tuple(steps), {name: _expand(str(value)) for name, value in job["env"].items()}, tuple(kept))


def gitlab(text: str) -> Job:
    """A configuration of one job."""
    (job,) = parse(text).values()
    artifacts = job["artifacts"]
    step = Step(("bash", "-eo", "pipefail"), "\n".join([*job.get("before_script", []), *job["script"]]))
    junit = artifacts["reports"]["junit"]
    kept = [*artifacts["paths"], junit] if artifacts["when"] == "always" else []
    return Job((step,), job["variables"], tuple(kept), junit)


READ = {"github.yml": github, "gitlab-ci.yml": gitlab}


def run(job: Job, checkout: Path, environment: Mapping[str, str]) -> list[Ran]:
    """Runs the job's scripts in `checkout`; `environment` is all that they have besides the job's own variables."""
    variables = {name: Template(value).safe_substitute(environment) for name, value in job.variables.items()}
    for name in ONLY_THERE:
        variables.pop(name, None)
    ran: list[Ran] = []
    for step in job.steps:
        if step.always or all(one.code == 0 for one in ran):
            ran.append(_run(step, checkout, {**environment, **variables}))
    return ran


def _run(step: Step, checkout: Path, environment: Mapping[str, str]) -> Ran:
    script, summary = checkout.parent / "script.sh", checkout.parent / "summary.md"
    script.write_text(step.script, encoding="utf-8")
    summary.write_text("", encoding="utf-8")
    ended = subprocess.run(
        [*step.shell, script],
        cwd=checkout,
        env={**environment, "GITHUB_STEP_SUMMARY": str(summary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WITHIN_S,
    )
    return Ran(ended.returncode, ended.stdout, summary.read_text(encoding="utf-8"))


def _always(step: Mapping[str, Any]) -> bool:
    condition = step.get("if")
    if condition not in (None, ALWAYS):
        raise ValueError(f"if: {condition}: expected {ALWAYS}, or none")
    return condition == ALWAYS


def _expand(text: str) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] not in ON_A_PULL_REQUEST:
            raise ValueError(f"{found[0]}: not in ON_A_PULL_REQUEST of {Path(__file__).name}")
        return ON_A_PULL_REQUEST[found[1]]

    return EXPRESSION.sub(value, text)
