"""How a system under test is run: one file for one way. `command`: a process on this machine; `container`: an image.

Goes in: a `Service` with its templates filled. Comes out: a recipe for a launcher. To try it:
`suites/unit/test_systems_command.py`, `suites/unit/test_systems_container.py`.
"""
