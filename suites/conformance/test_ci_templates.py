"""What a team copies out of ci/templates does what it says: its scripts are run in a fresh project and environment.

The project is what `chaosharness init` writes; `pip install chaosharness` finds a wheel of this very tree. Once the
service keeps its promise, once it does not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from xml.etree import ElementTree

import pytest
from ci_templates import READ, SETUP, TEMPLATES, Job, Ran, run

from chaosharness.flowfile import init_files
from chaosharness.servers.docker.engine import Engine

ROOT = Path(__file__).parents[2]
SUMMARY_BYTES = 1024 * 1024
SCENARIOS = '[flow.payment]\nscenarios = ["effect-ack:crash"]'
KEY = ', "Idempotency-Key": str(order["order_id"])'
"""Without this header a second request is a second charge."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel of this tree, built from a copy, since a build writes beside its sources."""
    subprocess.run([SETUP], check=True, stdin=subprocess.DEVNULL, timeout=250)
    source, wheels = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("index")
    shutil.copytree(ROOT / "chaosharness", source / "chaosharness", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--wheel-dir", wheels, source], check=True, timeout=120)
    return wheels


@pytest.fixture(scope="module", params=READ)
def template(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def environment(
    template: str, docker_engine: Engine, index: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """What a runner gives: a Python that has nothing installed; of this machine only its engine and its images."""
    home = tmp_path_factory.mktemp("home")
    python = home / "python"
    venv.create(python, with_pip=True, symlinks=True)
    ours = Path(sys.executable).parent
    path = [folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder) != ours]
    return {
        "PATH": os.pathsep.join([str(python / "bin"), *path]),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TMPDIR": os.environ["TMPDIR"],
        **{name: value for name, value in os.environ.items() if name.startswith(("DOCKER_", "CHAOSHARNESS_IMAGE_"))},
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": f"{index} {ROOT / '.cache' / 'wheels'}",
        "CI": "true",
    }


@pytest.fixture
def job(template: str) -> Job:
    return READ[template]((TEMPLATES / template).read_text(encoding="utf-8"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A team's project: its flow file, its service, what that needs."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name, content in init_files("python3").items():
        (folder / name).write_text(content.replace("[flow.payment]", SCENARIOS, 1), encoding="utf-8")
    (folder / "requirements.txt").write_text("pika\n", encoding="utf-8")
    return folder


def play(job: Job, checkout: Path, environment: dict[str, str]) -> tuple[list[Ran], str]:
    """What each script came to, and what all of them said."""
    ran = run(job, checkout, {**environment, "CI_PROJECT_DIR": str(checkout)})
    return ran, "\n".join(one.output for one in ran)


def check_kept(job: Job, checkout: Path, failures: int) -> None:
    """Every path that is to be uploaded is there, with the report of the one run, and the JUnit file counts right."""
    assert all((checkout / path).exists() for path in job.kept)
    (folder,) = (checkout / ".chaosharness" / "runs").iterdir()
    assert {"report.html", "run.json", "scenarios"} <= {path.name for path in folder.iterdir()}
    if job.junit:
        (suite,) = ElementTree.parse(checkout / job.junit).getroot()
        assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", str(failures), "0")


def check_summary(job: Job, ran: list[Ran], wanted: str) -> None:
    """GitHub's page shows the whole report; GitLab's what the JUnit file says."""
    if not job.junit:
        summary = ran[-1].summary
        assert summary.startswith("```text\n")
        assert summary.endswith("\n```\n")
        assert wanted in summary
        assert len(summary.encode()) < SUMMARY_BYTES


def test_a_promise_that_holds(job: Job, checkout: Path, environment: dict[str, str]) -> None:
    ran, said = play(job, checkout, environment)
    assert [one.code for one in ran] == [0] * len(job.steps), said
    assert "payment: declared effectively_once; observed effectively_once: not refuted in 1 of 1 window" in said
    assert "seed 1" in said
    check_kept(job, checkout, failures=0)
    check_summary(job, ran, "1 upheld")


def test_a_promise_that_does_not_hold(job: Job, checkout: Path, environment: dict[str, str]) -> None:
    service = checkout / "payment_service.py"
    text = service.read_text(encoding="utf-8")
    assert KEY in text
    service.write_text(text.replace(KEY, ""), encoding="utf-8")
    ran, said = play(job, checkout, environment)
    assert len(ran) == len(job.steps)
    assert [one.code for one in ran if one.code] == [1], said
    assert "duplicated: " in said
    assert "--only 'payment[effect-ack:crash]' --seed 1" in said
    check_kept(job, checkout, failures=1)
    check_summary(job, ran, "1 violated")
