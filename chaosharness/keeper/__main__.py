"""`python -m chaosharness.keeper FD HARNESS_PID`: started by `client.KeeperClient.start`, not by hand."""

from __future__ import annotations

import sys

from chaosharness.keeper.process import main

sys.exit(main(sys.argv[1:]))
