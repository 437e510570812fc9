"""The program: its commands, and what becomes of an error."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.text import Text

from services.cli import bundles, deciding, incidents, looking, measuring, mending, running
from services.cli.desk import Chosen, err
from services.errors import HeadgateError

app = typer.Typer(
    name="headgate",
    help="The delivery dashboard for AI systems: bundles, gates, approvals and rollbacks over MLflow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (running, looking, measuring, deciding, mending):
    for command in module.COMMANDS:
        app.command(command.__name__.replace("_", "-"))(command)
app.add_typer(bundles.app, name="bundle")
app.add_typer(deciding.gate, name="gate")
app.add_typer(mending.hold, name="hold")
app.add_typer(mending.freeze, name="freeze")
app.add_typer(incidents.app, name="incident")
app.add_typer(incidents.deployment, name="deployment")
app.add_typer(looking.audit, name="audit")


@app.callback()
def everything(
    person: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Act as one of the sample's people (in the demo only).")
    ] = None,
) -> None:
    """The delivery dashboard for AI systems: bundles, gates, approvals and rollbacks over MLflow."""
    Chosen.person = person


def main() -> None:
    """Run the program. Every error a person can meet is a sentence and an exit code, never a traceback."""
    try:
        app()
    except HeadgateError as error:
        err.print(Text(str(error)))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)
