"""Flow files to the model, with errors that point; templates; the files that `chaosharness init` writes.

In: `flows.toml`. Out: `model.flow.FlowFile`, or BadInput. To try it: `load(Path("flows.toml"), Registry.load())`.
"""

from chaosharness.flowfile.init import init_files
from chaosharness.flowfile.parse import load, parse
from chaosharness.flowfile.templates import fill, names_in

__all__ = ["fill", "init_files", "load", "names_in", "parse"]
