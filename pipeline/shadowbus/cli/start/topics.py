"""`shadowbus topics`: create what is missing, or compare what there is with what is wanted."""

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from shadowbus.cli.console import cell, emit, emit_json, output, table, tell
from shadowbus.cli.options import settings_of
from shadowbus.settings import Settings

if TYPE_CHECKING:
    from shadowbus.kafka.topics import Difference


def topics(
    context: typer.Context,
    create: Annotated[bool, typer.Option("--create", help="Create what is missing; alter nothing.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Say what is missing or differs; change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Create the topics, or check them; either --create or --check."""
    if create == check:
        raise typer.BadParameter("say either --create or --check.")
    settings = settings_of(context)
    if create:
        _create(settings, as_json)
    else:
        _check(settings, as_json)


def _create(settings: Settings, as_json: bool) -> None:
    from shadowbus.kafka.topics import check_topics, create_topics

    differing = [difference for difference in check_topics(settings) if difference.what != "topic"]
    created = create_topics(settings)
    if as_json:
        emit_json({"created": created, "differences": _plain(differing)})
    else:
        sys.stdout.writelines(f"created {name}\n" for name in created)
        if not created:
            tell("Every topic exists already.")
    if differing:
        tell("These exist with other settings than wanted, and were left as they are:")
        for one in differing:
            tell(f"  {one.topic}: {one.what} is {one.found}, wanted {one.wanted}")


def _check(settings: Settings, as_json: bool) -> None:
    from shadowbus.kafka.topics import check_topics, wanted_topics

    differences = check_topics(settings)
    if as_json:
        emit_json({"ok": not differences, "differences": _plain(differences)})
    elif differences:
        rows = table("", "topic", "what", "wanted", "found")
        for one in differences:
            rows.add_row(cell(one.topic), cell(one.what), cell(one.wanted), cell(one.found, "red"))
        output().print(rows)
        if any(one.what == "topic" for one in differences):
            tell("Create the missing ones with `shadowbus topics --create`.")
    else:
        emit(f"All {len(wanted_topics(settings))} topics are as they should be.")
    if differences:
        raise typer.Exit(1)


def _plain(differences: Sequence["Difference"]) -> list[dict[str, str]]:
    return [dataclasses.asdict(difference) for difference in differences]
