"""What `ci/bench` has measured, as lines to read: of each figure the median, the least and the most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import bench_backends
import bench_codecs
import bench_ledger
import bench_taps

Figures = Mapping[str, Any]


def floor_table(floor: Figures) -> Iterator[str]:
    yield f"{floor['scenario']}, {floor['messages']} messages, {floor['pairs']} pairs with ci/floor"
    yield line("service's start to last effect", floor["from_start_to_last_effect"], f"x floor; goal {floor['goal']}")
    yield line("", floor["from_start_to_last_effect_s"], "s")
    yield line("floor, likewise", floor["floor_s"], "s")
    yield line("whole scenario", floor["whole_scenario_s"], "s: set-up, stop and judgement too")
    yield line("", floor["whole_scenario"], "x floor")
    yield line("", floor["whole_scenario_to_whole_floor"], "x floor's process from start to end")
    yield line("fault to judged result", floor["fault_to_verdict_s"], "s")
    yield line("", floor["fault_to_verdict_share"], "of the scenario")
    yield line("drained to noticed", floor["drain_noticed_s"], "s: from the last event that it waited for")
    yield line("", floor["drain_noticed_share"], "of the scenario")
    for name, seconds in floor["phases_s"].items():
        yield line(f"  {name}", seconds, "s")


def throughput_table(throughput: Figures) -> Iterator[str]:
    for size, found in throughput.items():
        yield f"messages of {size} per second, confirmed"
        for path, rate in found["messages_per_s"].items():
            yield line(path, rate, "", ",.0f")
        yield line("toxiproxy to direct", found["toxiproxy_to_direct"], "")
        yield line("tap to toxiproxy alone", found["tap_to_toxiproxy"], "")
        yield f"  {'processor time in the tap':<34} {found['tap_cpu_us_per_message']:>10} µs a message"


def ledger_table(ledger: Figures) -> Iterator[str]:
    yield "an event into the ledger, processor time"
    yield line("bare write of the same bytes", ledger["bare"], "µs")
    yield line("append", ledger["append"], "µs")
    yield line("", ledger["append_to_bare"], f"x bare write; goal {ledger['goal']:g}")
    yield line(f"{bench_ledger.AT_ONCE} at a time", ledger["append_all"], "µs")
    yield line("", ledger["append_all_to_bare"], "x bare write")


def codecs_table(codecs: Figures) -> Iterator[str]:
    units = {"amqp": "frame", "resp": "command or reply"}
    for codec, found in codecs.items():
        yield f"codec {codec} alone, whole lives of messages of {bench_codecs.SIZE} B, processor time"
        yield line(f"a {units.get(codec, 'unit')}", found["us_per_unit"], "µs")
        yield line("a message", found["us_per_message"], "µs")
        yield line("", found["to_plain_parser"], "x a plain parser of the same bytes")


def taps_table(taps: Figures) -> Iterator[str]:
    for codec, found in taps.items():
        yield f"tap {codec}, whole lives of {bench_taps.MESSAGES:,} messages of {bench_taps.SIZE} B, per second"
        for way, rate in found["messages_per_s"].items():
            yield line(way, rate, "", ",.0f")
        yield line("tap to direct", found["tap_to_direct"], "")
        yield line("processor time in the tap", found["tap_cpu_us_per_message"], "µs a message", ".1f")


def backends_table(backends: Figures) -> Iterator[str]:
    for name, found in backends.items():
        yield bench_backends.MEASURED[name]
        yield from (line(backend, seconds, "s") for backend, seconds in found["seconds"].items())
        if "docker_to_local" in found:
            yield line("docker to local", found["docker_to_local"], "")


TABLES = {
    "floor": floor_table,
    "throughput": throughput_table,
    "ledger": ledger_table,
    "codecs": codecs_table,
    "taps": taps_table,
    "backends": backends_table,
}


def table(figures: Figures) -> Iterator[str]:
    yield f"median (least to most) of what was measured on {figures['cores']} cores at a load of {figures['load']:.1f}"
    for part, lines in TABLES.items():
        if part in figures:
            yield ""
            yield from lines(figures[part])
    yield ""
    if figures["load"] > figures["cores"]:
        yield "the machine was busy with other things: of these figures, little is certain"
    yield f"all this took {figures['seconds']:.0f} s"


def line(name: str, found: Mapping[str, float], unit: str, format_: str = ".3f") -> str:
    least_to_most = f"({found['min']:{format_}} to {found['max']:{format_}})"
    return f"  {name:<34} {found['median']:>10{format_}}  {least_to_most:<22} {unit}".rstrip()
