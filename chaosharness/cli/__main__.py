"""`python -m chaosharness.cli`."""

from chaosharness.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
