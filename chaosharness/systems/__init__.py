"""How a system under test is run: one file for one way. Now: `command`, a process on this machine.

Goes in: a `Service` with its templates filled. Comes out: a `Recipe` for a launcher. To try it:
`suites/unit/test_systems_command.py`.
"""
