"""What a run is given where nobody says otherwise.

Apart from the session, which takes a third of a second to load: the faces show these before anything is run.
"""

from __future__ import annotations

import random
from pathlib import Path

DEFAULT_RUNS = Path(".chaosharness/runs")
LARGEST_SEED = 2**32


def new_seed() -> int:
    """A seed for a run that was given none."""
    return random.SystemRandom().randrange(LARGEST_SEED)
