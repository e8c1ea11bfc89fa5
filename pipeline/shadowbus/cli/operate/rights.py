"""`shadowbus rights`: what a stage or a verb has to be allowed to do in Kafka, and the commands that grant it."""

import sys
from typing import Annotated

import orjson
import typer

from shadowbus.cli.console import cell, emit, output, table
from shadowbus.cli.options import settings_of
from shadowbus.rights import USES, Names, Right, commands, needed_for


def rights(
    context: typer.Context,
    verbs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VERB]...", help="Such as judge or 'verdict --verify'; else all.", show_default=False),
    ] = None,
    principal: Annotated[
        str, typer.Option(metavar="NAME", help="Print what grants them to it, such as User:judge.", show_default=False)
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Show the least rights in Kafka that stages and verbs need. Asks nothing of Kafka."""
    for verb in verbs or ():
        if verb not in USES:
            raise typer.BadParameter(f"{verb!r} is none of {', '.join(USES)}.")
    names = Names.of(settings_of(context))
    found = {verb: needed_for(verb, names) for verb in verbs or USES}
    if as_json:
        emit(orjson.dumps({verb: [_plain(right) for right in wanted] for verb, wanted in found.items()}).decode())
    elif principal:
        every = sorted({right for wanted in found.values() for right in wanted})
        sys.stdout.writelines(f"{line}\n" for line in commands(every, principal))
    else:
        rows = table("", "verb", "operation", "on", "name")
        for verb, wanted in found.items():
            for right in wanted:
                name = f"{right.name}{'*' if right.prefixed else ''}"
                rows.add_row(cell(verb), cell(right.operation), cell(right.kind.lower()), cell(name))
        output().print(rows)


def _plain(right: Right) -> dict[str, object]:
    return {"operation": right.operation, "kind": right.kind, "name": right.name, "prefixed": right.prefixed}
