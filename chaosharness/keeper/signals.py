"""Signals to an instance, each with its evidence: a look at /proc afterwards.

Goes in: an instance and a scope. Comes out: long operations (see `loop`) that end in `Evidence`; its facts hold `pids`,
`took_ms`, and where something is amiss what was seen. To try it: `suites/conformance/test_keeper_signals.py`.
"""

from __future__ import annotations

import signal as number
import time
from collections.abc import Sequence
from typing import Any

from chaosharness.keeper import sockets, tree
from chaosharness.keeper.instance import OwnedInstance
from chaosharness.keeper.loop import Steps
from chaosharness.model.address import Address
from chaosharness.ports.launch import Evidence, Scope, Signal

KILL_S = 10.0
"""A process that cannot be interrupted (a dying disk, a core dump) may take long to die."""
FREEZE_S = 5.0
LOOK_S = 0.001


def _amount(pids: set[int]) -> str:
    return f"{len(pids)} process{'es' if len(pids) != 1 else ''}"


def _evidence(ok: bool, what: str, began: float, pids: set[int], **facts: Any) -> Evidence:
    took_ms = round((time.monotonic() - began) * 1000, 1)
    return Evidence(ok, f"{what} after {took_ms:g} ms", {"pids": sorted(pids), "took_ms": took_ms, **facts})


def _none(instance: OwnedInstance, name: str, scope: Scope) -> Evidence:
    return Evidence(False, f"{name}: {instance.name} has no process in scope {scope}", {"pids": [], "took_ms": 0.0})


def _within(instance: OwnedInstance, scope: Scope, table: tree.Table) -> list[tree.Process]:
    """The living processes of a scope: the whole tree, the command alone, or all but the command."""
    processes = instance.processes(table)
    mains = instance.mains
    if scope is Scope.PARENT:
        return [process for process in processes if process.pid in mains]
    if scope is Scope.CHILD:
        return [process for process in processes if process.pid not in mains]
    return processes


def kill(instance: OwnedInstance, scope: Scope) -> Steps[Evidence]:
    """SIGKILL, repeated until nothing of the scope is left: a fork may outrun the look at the tree.

    CHILD spares what the command starts meanwhile: a pool that replaces its worker has not survived the fault.
    """
    began = time.monotonic()
    if scope is not Scope.CHILD:
        instance.take_down()
    yield from instance.settled()  # a process must be in the ledger before its end is
    aimed = list(instance.mains.values())
    struck: set[int] = set()
    while True:
        table = tree.scan()
        targets = _within(instance, scope, table)
        if scope is Scope.CHILD and struck:
            replaced = {process.pid for process in tree.below(table, *instance.mains)} - struck
            targets = [process for process in targets if process.pid not in replaced]
        fresh = {process.pid for process in targets} - struck
        if fresh:
            instance.signalled(Signal.KILL, scope, fresh)
            struck |= fresh
        for process in targets:
            tree.send(process, number.SIGKILL)
        if scope is Scope.TREE:
            done = not instance.incarnations
        elif scope is Scope.PARENT:
            done = all(incarnation.code is not None for incarnation in aimed)
        else:
            done = not targets
        if done or time.monotonic() - began > KILL_S:
            break
        yield LOOK_S
    if not struck:
        return _none(instance, "SIGKILL", scope)
    left = sorted(process.pid for process in targets)
    if not done:
        return _evidence(False, f"SIGKILL to {_amount(struck)}; still there: {left}", began, struck, left=left)
    return _evidence(True, f"SIGKILL to {_amount(struck)}; all gone", began, struck)


def kill_owner(instance: OwnedInstance, local: Address) -> Steps[Evidence]:
    """SIGKILL of the one descendant of the command that has the connection with this local address open.

    Nothing is sent where none has it, several share it, or the command itself has it. Facts: `owners`, `parent`.
    """
    began = time.monotonic()
    yield from instance.settled()
    processes = {process.pid: process for process in instance.processes(tree.scan())}
    owners = sockets.owners(processes, local)
    parent = any(pid in instance.mains for pid in owners)
    facts = {"owners": list(owners), "parent": parent, "local": str(local)}
    if len(owners) != 1 or parent:
        return Evidence(False, words_of_owners(instance.name, local, owners, parent), {"pids": [], **facts})
    [pid] = owners
    instance.signalled(Signal.KILL, Scope.CHILD, {pid})
    tree.send(processes[pid], number.SIGKILL)
    while not (gone := _is_gone(processes[pid])) and time.monotonic() - began < KILL_S:
        yield LOOK_S
    left = sorted(process.pid for process in instance.processes(tree.scan()))
    what = f"SIGKILL to process {pid}, which has the connection from {local}; {'gone' if gone else 'still there'}"
    return _evidence(gone, f"{what}, {_amount(set(left))} left", began, {pid}, left=left, **facts)


def words_of_owners(name: str, local: Address, owners: Sequence[int], parent: bool) -> str:
    """Why no child is killed."""
    if not owners:
        return f"no process of {name} has the connection from {local}"
    if parent and len(owners) == 1:
        return f"the connection from {local} is of the first process of {name} itself ({owners[0]}), not of a child"
    return f"the connection from {local} is shared by processes {', '.join(map(str, owners))} of {name}"


def _is_gone(process: tree.Process) -> bool:
    now = tree.look(process.pid)
    return now is None or now.gone or now.start != process.start


def term(instance: OwnedInstance, scope: Scope) -> Steps[Evidence]:
    """SIGTERM; what a process makes of it is its own affair. No restart by policy follows, save for CHILD."""
    began = time.monotonic()
    if scope is not Scope.CHILD:
        instance.take_down()
    yield from instance.settled()
    targets = _within(instance, scope, tree.scan())
    if not targets:
        return _none(instance, "SIGTERM", scope)
    instance.signalled(Signal.TERM, scope, {process.pid for process in targets})
    reached = {process.pid for process in targets if tree.send(process, number.SIGTERM)}
    yield LOOK_S
    left = sorted(process.pid for process in _within(instance, scope, tree.scan()) if process.pid in reached)
    return _evidence(bool(reached), f"SIGTERM to {_amount(reached)}; {len(left)} left", began, reached, left=left)


def freeze(instance: OwnedInstance, scope: Scope) -> Steps[Evidence]:
    """SIGSTOP, until every thread of every process is seen stopped, and a later look finds no other process."""
    return (yield from _stop_or_go(instance, scope, Signal.FREEZE))


def thaw(instance: OwnedInstance, scope: Scope) -> Steps[Evidence]:
    """SIGCONT, until no thread is seen stopped."""
    return (yield from _stop_or_go(instance, scope, Signal.THAW))


def _stop_or_go(instance: OwnedInstance, scope: Scope, signal: Signal) -> Steps[Evidence]:
    freezing = signal is Signal.FREEZE
    sent, name, wanted = (
        (number.SIGSTOP, "SIGSTOP", tree.stopped) if freezing else (number.SIGCONT, "SIGCONT", tree.running)
    )
    began = time.monotonic()
    yield from instance.settled()
    struck: set[int] = set()
    waiting: set[int] = set()
    settled = False
    while True:
        targets = _within(instance, scope, tree.scan())
        fresh = {process.pid for process in targets} - struck
        if fresh:
            instance.signalled(signal, scope, fresh)
            struck |= fresh
        for process in targets:
            if process.ppid in waiting:
                tree.send(process, number.SIGCONT)
            elif process.pid in fresh or not wanted(process.pid):
                tree.send(process, sent)
        missed = sorted(process.pid for process in targets if not wanted(process.pid))
        # who waits for a vfork cannot be stopped before its child has run its exec: the child is let go for so long
        waiting = {pid for pid in missed if freezing and "D" in tree.thread_states(pid)}
        # what was forked while the first look ran is seen by a look that began when all were stopped
        if settled and not fresh and not missed:
            break
        settled = not fresh and not missed
        if time.monotonic() - began > FREEZE_S:
            return _evidence(
                False, f"{name} to {_amount(struck)}; without effect on {missed}", began, struck, left=missed
            )
        yield LOOK_S
    if not targets:
        return _none(instance, name, scope)
    return _evidence(True, f"{name} to {_amount(struck)}; all {'stopped' if freezing else 'running'}", began, struck)


def stop(instance: OwnedInstance, grace_s: float) -> Steps[Evidence]:
    """SIGTERM to the command (thawed, so that it can obey), `grace_s` seconds, SIGKILL to what is left of the tree."""
    began = time.monotonic()
    instance.take_down()
    yield from instance.settled()
    aimed = [incarnation for incarnation in instance.incarnations if incarnation.left]
    for process in _within(instance, Scope.TREE, tree.scan()):
        if not tree.running(process.pid):
            tree.send(process, number.SIGCONT)
    mains = _within(instance, Scope.PARENT, tree.scan())
    if mains and grace_s > 0:
        instance.signalled(Signal.TERM, Scope.PARENT, {process.pid for process in mains})
        for process in mains:
            tree.send(process, number.SIGTERM)
        while instance.mains and time.monotonic() - began < grace_s:
            yield 0.002
    forced = bool(instance.mains)
    rest = (yield from kill(instance, Scope.TREE)) if instance.incarnations else None
    instance.close()
    pids = {process.pid for process in mains} | set(rest.facts["pids"] if rest else ())
    facts: dict[str, Any] = {"codes": [i.code for i in aimed if i.code is not None], "forced": forced}
    if instance.incarnations:
        return _evidence(False, f"{instance.name}: {rest.what if rest else ''}; not gone", began, pids, **facts)
    if not aimed:
        return _evidence(True, f"{instance.name} was not running", began, pids, **facts)
    how = f"SIGKILL after {grace_s:g} s" if forced else f"SIGTERM, exit code {facts['codes']}"
    return _evidence(True, f"{instance.name} stopped: {how}; all gone", began, pids, **facts)


def send(instance: OwnedInstance, signal: Signal, scope: Scope) -> Steps[Evidence]:
    """The operation for a signal."""
    return {Signal.KILL: kill, Signal.TERM: term, Signal.FREEZE: freeze, Signal.THAW: thaw}[signal](instance, scope)
