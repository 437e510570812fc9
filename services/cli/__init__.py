"""The command line. It calls the same commands as the pages, and carries out its own intent where no worker lives.

Exit codes: 0 done; 1 error; 2 bad input; 3 a gate or a condition said no; 4 something is unreachable.
"""

from services.cli.main import main

__all__ = ["main"]
