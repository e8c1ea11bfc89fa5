"""`shadowbus promote | send-back | approve`: act on a verdict, and write down what was done.

Each refuses, with one sentence, unless the newest verdict is the one that it needs, and can be worked out again from
the topics.
"""

import dataclasses
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shadowbus.cli.console import clean, emit, emit_json, tell
from shadowbus.cli.options import NamedShadow, Shadow, settings_of, which_shadow
from shadowbus.cli.read.find_verdict import READ_SECONDS, Found, find
from shadowbus.cli.read.recorded import OneTrial
from shadowbus.cli.read.verify import CannotVerify, verify
from shadowbus.clock import Deadline, now_ms
from shadowbus.errors import Malformed, ShadowbusError
from shadowbus.gates import differs, short
from shadowbus.records import Promotion, decode, encode
from shadowbus.settings import Settings

if TYPE_CHECKING:
    from shadowbus.promotion.course import Standing
    from shadowbus.promotion.order import Done, Means, Order

WRITE_SECONDS = 30.0

By = Annotated[
    str, typer.Option(metavar="WHO", help="Who does this; this machine's user if absent.", show_default=False)
]
OfGate = Annotated[
    str,
    typer.Option("--gate", metavar="HASH", help="Use this gate, where the settings have another.", show_default=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
Report = Annotated[
    Path | None, typer.Option("--attach", metavar="FILE", help="A report to attach.", show_default=False, exists=True)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the written record, one line of JSON.")]


def promote(
    context: typer.Context,
    named: NamedShadow = "",
    shadow: Shadow = "",
    trial: OneTrial = None,
    gate: OfGate = "",
    by: By = "",
    request: Annotated[bool, typer.Option("--request", help="Only request approval.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Promote a shadow whose verdict is PROMOTE: move an alias, run a command or post to a webhook, by [promotion]."""
    shadow = which_shadow(named, shadow)
    settings = settings_of(context)
    if not request:
        _act(settings, "promote", shadow, trial, by or _user(), dry_run, yes, report, as_json, gate)
        return
    from shadowbus.promotion.course import requested

    standing, found = _standing(settings, shadow, trial)
    record = requested(standing, by or _user(), now_ms())
    tell(_verified(settings, found, "promote", gate))
    if dry_run:
        emit(f"Would ask for the approval of {clean(record.trial)}.")
        return
    _write(settings, record)
    _show(
        record,
        f"{record.by} requests to promote {record.trial}; `shadowbus approve` by somebody else comes next.",
        as_json,
    )


def approve(
    context: typer.Context,
    named: NamedShadow = "",
    shadow: Shadow = "",
    trial: OneTrial = None,
    gate: OfGate = "",
    by: By = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Approve a promotion that somebody else requested; then run `promote`."""
    shadow = which_shadow(named, shadow)
    settings = settings_of(context)
    from shadowbus.promotion.course import approved

    standing, found = _standing(settings, shadow, trial)
    record = approved(standing, by or _user(), now_ms())
    tell(_verified(settings, found, "promote", gate))
    _confirm(f"Approve to promote {record.trial}?", yes)
    _write(settings, record)
    _show(record, f"{record.by} approves to promote {record.trial}; `shadowbus promote` does it.", as_json)


def send_back(
    context: typer.Context,
    named: NamedShadow = "",
    shadow: Shadow = "",
    trial: OneTrial = None,
    by: By = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Mark a shadow whose verdict is SEND BACK as rejected, with the reason, by the same means as a promotion."""
    shadow = which_shadow(named, shadow)
    _act(settings_of(context), "send_back", shadow, trial, by or _user(), dry_run, yes, report, as_json)


def _act(
    settings: Settings,
    action: str,
    shadow: str,
    trial: str | None,
    by: str,
    dry_run: bool,
    yes: bool,
    report: Path | None,
    as_json: bool,
    gate: str = "",
) -> None:
    from shadowbus.promotion.course import begun, check_verdict, ended, finished, unfinished
    from shadowbus.promotion.means import means_of
    from shadowbus.promotion.order import NotDone, Order

    means = means_of(settings, shadow)
    standing, found = _standing(settings, shadow, trial)
    check_verdict(standing, action)
    if done := finished(standing, action):
        _show(done, f"This was done already, by {done.by}: {done.told}", as_json)
        return
    record = begun(
        standing, action, by, now_ms(), approval=settings.promotion.approval, means=settings.promotion.means[0]
    )
    tell(_verified(settings, found, action, gate))
    if earlier := unfinished(standing, action):
        tell(f"An earlier run by {earlier.by} began this and did not say how it ended; it goes on under the same key.")
    order = Order(action, standing.verdict, record.key, by, report.resolve() if report else None)
    try:
        planned = means.plan(order)
    except NotDone as error:
        if not dry_run:
            _write(settings, ended(record, "failed", str(error), {}, now_ms()))
        raise
    tell(planned.told)
    if dry_run:
        emit(f"Would {action.replace('_', ' ')} {clean(record.trial)}: {clean(planned.told)}")
        return
    _confirm(f"{'Promote' if action == 'promote' else 'Send back'} {record.trial}?", yes)
    known = {key: value for key, value in record.detail.items() if value}
    _carry_out(settings, means, order, dataclasses.replace(record, detail={**planned.detail, **known}), as_json)


def _verified(settings: Settings, found: Found, action: str, gate: str) -> str:
    """What came of working the verdict out again; nobody is kept from sending back by settings that have changed."""
    record = found.record
    if action == "promote" and (other := differs(settings, record.trial, record.gate)) and gate != short(record.gate):
        raise ShadowbusError(f"{other} To promote by the gate of the verdict, say --gate {short(record.gate)}.")
    if action == "send_back" and record.verdict != "SEND_BACK":
        return "It was SEND BACK by the gate of before, and that is acted on."
    try:
        return verify(settings, record, found.value)
    except CannotVerify as error:
        if action != "send_back":
            raise
        return f"{error} SEND BACK is final, so it is acted on without that."


def _carry_out(settings: Settings, means: "Means", order: "Order", record: Promotion, as_json: bool) -> None:
    from shadowbus.promotion.course import ended
    from shadowbus.promotion.order import NotDone

    _write(settings, record)
    try:
        done: Done = means.act(order)
    except NotDone as error:
        _write(settings, ended(record, "failed", str(error), {}, now_ms()))
        raise
    record = ended(record, "done", done.told, done.detail, now_ms())
    _write(settings, record)
    _show(record, done.told, as_json)


def _standing(settings: Settings, shadow: str, trial: str | None) -> "tuple[Standing, Found]":
    from shadowbus.kafka.read.topic import read_table
    from shadowbus.promotion.course import Standing, record_key
    from shadowbus.topology import VERDICTS

    settings.shadow_named(shadow)
    deadline = Deadline.after(READ_SECONDS)
    found = find(settings, shadow, trial, deadline)
    if found is None:
        raise ShadowbusError(f"There is no verdict yet on {f'trial {trial}' if trial else f'shadow {shadow}'}.")
    value = read_table(settings, VERDICTS, deadline).get(record_key(found.record.trial))
    try:
        record = decode(Promotion, value) if value else None
    except Malformed as error:
        raise ShadowbusError(f"What was done about {found.record.trial} cannot be read: {error}.") from error
    return Standing(settings.namespace, found.record, record), found


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise ShadowbusError("Not a terminal: pass --yes to confirm.")
    if not typer.confirm(clean(question), err=True):
        raise ShadowbusError("Nothing was done.")


def _write(settings: Settings, record: Promotion) -> None:
    from shadowbus.kafka.publisher import Publisher
    from shadowbus.promotion.course import record_key
    from shadowbus.topology import VERDICTS

    with Publisher(settings) as publisher:
        publisher.write(VERDICTS, record_key(record.trial), encode(record), Deadline.after(WRITE_SECONDS))


def _show(record: Promotion, sentence: str, as_json: bool) -> None:
    if as_json:
        emit_json(record)
    else:
        emit(clean(sentence))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
