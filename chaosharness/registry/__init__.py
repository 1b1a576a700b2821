"""Entry points to brokers, sinks, stores, codecs, servers and faults; and which scenarios they make of a flow.

In: what is installed, and a flow. Out: plugins held to their ports, and the flow's cells. To try it:
`Registry.load().names("faults")`.
"""

from chaosharness.registry.cells import cell_glob, check_only, select
from chaosharness.registry.contract import breaches
from chaosharness.registry.registry import Registry

__all__ = ["Registry", "breaches", "cell_glob", "check_only", "select"]
