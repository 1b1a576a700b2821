"""The commands that look at files: init, report, explain."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from chaosharness.cli.printing import print_run
from chaosharness.flowfile import init_files
from chaosharness.model.errors import BadInput
from chaosharness.model.terms import explain as explain_term
from chaosharness.report.document import text
from chaosharness.report.read import read
from chaosharness.report.write import write_page


def _interpreter() -> str:
    """`python3`, which other machines have too, where that is the one that runs this."""
    on_path = shutil.which("python3")
    return "python3" if on_path and Path(on_path).parent == Path(sys.executable).parent else sys.executable


def init(options: argparse.Namespace) -> int:
    """Writes nothing if one of its files is there already."""
    files = init_files(_interpreter())
    there = [name for name in files if Path(name).exists()]
    if there:
        raise BadInput(f"{', '.join(there)}: there already; `chaosharness init` overwrites nothing")
    for name, content in files.items():
        Path(name).write_text(content, encoding="utf-8")
    if options.json:
        _print_json({"written": sorted(files)})
    else:
        print(f"wrote {' and '.join(files)}; try: chaosharness run flows.toml")
    return 0


def report(options: argparse.Namespace) -> int:
    """Exit code 0: the run could be read; its own code is in run.json."""
    folder = Path(options.run_dir)
    run = read(folder)
    page = write_page(run, folder)
    if options.json:
        sys.stdout.write(text(run))
        return 0
    print_run(run, page, reasons=True)
    return 0


def explain(options: argparse.Namespace) -> int:
    term = " ".join(options.term)
    paragraph = explain_term(term)
    if options.json:
        _print_json({"term": term, "text": paragraph})
    else:
        print(paragraph)
    return 0


def _print_json(data: object) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False))
