"""Whether every trial that goes on can come to a verdict."""

import contextlib
from collections.abc import Iterator, Mapping

from shadowbus.doctor.evidence import Evidence
from shadowbus.doctor.finding import Finding, problem
from shadowbus.errors import Malformed
from shadowbus.records import Aggregate, Verdict
from shadowbus.records.published import read_aggregate, read_verdict
from shadowbus.story.ledger import ledger
from shadowbus.story.past import past, span_of
from shadowbus.trials import verdicts_in
from shadowbus.verdict.obstacles import told


def check_trials(evidence: Evidence) -> Iterator[Finding]:
    """The shadow cannot run, or nothing can be compared or judged, or no label meets a request."""
    for verdict in evidence.verdicts:
        for sentence in [*told(verdict.obstacles), *filter(None, [evidence.unmet.get(verdict.trial)])]:
            yield problem(
                f"{verdict.trial} comes to no verdict.",
                sentence,
                "Mend what the commonest reason names: in the bundle, in [[shadow]], or where the records come from.",
            )


def going(
    decided: Mapping[bytes, bytes], aggregates: Mapping[bytes, bytes], configured: Mapping[str, str]
) -> tuple[Verdict, ...]:
    """The verdicts on trials that are not over.

    Args:
        decided: The verdicts topic, by key.
        aggregates: The aggregates topic, by key.
        configured: The version that the settings run, by shadow.
    """
    spans = {one.trial: span_of(one.totals) for one in _whole(aggregates)}
    found = []
    for key, value in sorted(verdicts_in(decided).items()):
        with contextlib.suppress(Malformed):
            found.append(read_verdict(value, key))
    over = past({**{one.trial: None for one in found}, **spans}, configured)
    return tuple(one for one in found if one.trial not in over)


def unmet(aggregates: Mapping[bytes, bytes]) -> dict[str, str]:
    """Why no label meets a request, by trial, where that is so."""
    return {one.trial: said for one in _whole(aggregates) if (said := ledger(one.books).unmet)}


def _whole(aggregates: Mapping[bytes, bytes]) -> Iterator[Aggregate]:
    for key, value in aggregates.items():
        if key.endswith(b"|all|all"):
            with contextlib.suppress(Malformed):
                yield read_aggregate(value, key)
