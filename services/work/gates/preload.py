"""The first thing the fork server imports. Importing it changes how children start, so nobody else imports it.

A child would import its parent's `__main__` again (the command line, a worker), which costs seconds. What a gate's
child runs is always importable by its own name, so it need not.
"""

from __future__ import annotations

from multiprocessing import spawn


def _leave_main_alone(_path_or_name: str) -> None:
    """In place of importing the parent's main module."""


for _name in ("_fixup_main_from_path", "_fixup_main_from_name"):
    setattr(spawn, _name, _leave_main_alone)
