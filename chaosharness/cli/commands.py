"""The commands that start nothing: doctor, init, report, explain."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from chaosharness.cli.printing import print_run
from chaosharness.flowfile import init_files
from chaosharness.model.errors import BadInput
from chaosharness.model.terms import explain as explain_term
from chaosharness.ports.launch import Availability
from chaosharness.registry import Registry
from chaosharness.report.document import text
from chaosharness.report.read import read
from chaosharness.report.write import write_page
from chaosharness.servers.toxiproxy import Toxiproxy


def doctor(options: argparse.Namespace) -> int:
    """Exit code 0 if every server can be started and every plugin is sound, else 2."""
    registry = Registry.load()
    broken = registry.check_all()
    servers = [Toxiproxy().available()]
    for name in registry.names("servers"):
        try:
            servers.append(registry.get("servers", name).available())
        except BadInput:
            continue  # it is in `broken`, with its reason
    if options.json:
        _print_json({"servers": [asdict(one) for one in servers], "plugins": broken, "backends": {"local": True}})
    else:
        print(*(_availability(one) for one in servers), sep="\n")
        print(*(f"plugin: {problem}" for problem in broken), sep="\n", end="\n" if broken else "")
    return 0 if all(one.ok for one in servers) and not broken else BadInput.exit_code


def _availability(one: Availability) -> str:
    if one.ok:
        return f"{one.server:<12} {one.version or 'unknown version':<10} local process: {one.how}"
    return f"{one.server:<12} {'missing':<10} {one.how}\n{'':<12} to add it: {one.remedy}"


def init(options: argparse.Namespace) -> int:
    """Writes nothing if one of its files is there already."""
    files = init_files(sys.executable)
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
