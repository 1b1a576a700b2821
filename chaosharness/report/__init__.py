"""A finished run, read and rendered: run.json, one HTML file, text for a terminal.

Goes in: a `RunResult`, or the folder that a run left. Comes out: `run.json` and `report.html` in that folder, the
matrix flows × windows, every finding explained. To try it: `chaosharness report RUN_DIR`,
`suites/unit/test_report_*.py`.
"""
