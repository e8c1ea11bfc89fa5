"""Every check, in the order of the flow, and all of them at once."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shadowbus.doctor.broker import check_copies, check_limits, check_transactions
from shadowbus.doctor.bundles import check_bundles, check_features, check_network
from shadowbus.doctor.clocks import check_ahead, check_skew, check_units
from shadowbus.doctor.evidence import Evidence
from shadowbus.doctor.finding import SEVERITIES, Finding, problem
from shadowbus.doctor.flow import check_arrivals, check_blind_spots, check_groups, check_held_up, check_verdicts
from shadowbus.doctor.ids import check_keys, check_unique
from shadowbus.doctor.keeping import check_cleanup, check_counts, check_missing, check_retention, check_sizes
from shadowbus.doctor.partitioning import check_partitioning
from shadowbus.doctor.rights import check_rights
from shadowbus.doctor.shapes import check_dead_letters, check_shapes
from shadowbus.doctor.trials import check_trials
from shadowbus.doctor.vocabulary import check_vocabulary

Check = Callable[[Evidence], Iterator[Finding]]

LOCAL: dict[str, Check] = {"bundles": check_bundles, "network": check_network}
"""What can be told without Kafka."""

CHECKS: dict[str, Check] = {
    "topics": check_missing,
    "partition-counts": check_counts,
    "rights": check_rights,
    "transactions": check_transactions,
    "limits": check_limits,
    "copies": check_copies,
    "keys": check_keys,
    "partitioning": check_partitioning,
    "unique-ids": check_unique,
    "shapes": check_shapes,
    "vocabulary": check_vocabulary,
    "time-units": check_units,
    "clocks": check_skew,
    "future": check_ahead,
    "cleanup": check_cleanup,
    "retention": check_retention,
    "sizes": check_sizes,
    **LOCAL,
    "features": check_features,
    "arrivals": check_arrivals,
    "groups": check_groups,
    "open-transactions": check_held_up,
    "verdicts": check_verdicts,
    "trials": check_trials,
    "dead-letters": check_dead_letters,
    "blind-spots": check_blind_spots,
}
"""By the name that findings carry; docs/doctor.md has a section on each."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found, the worst first, and the names of the checks that were made."""

    findings: tuple[Finding, ...]
    made: tuple[str, ...]

    def count(self, severity: str) -> int:
        """How many findings are of this severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def ok(self) -> bool:
        """Whether there is no problem; there may be warnings."""
        return not self.count("problem")


def diagnose(evidence: Evidence) -> Diagnosis:
    """Make every check that the evidence allows."""
    checks = LOCAL if evidence.unreachable else CHECKS
    found = [dataclasses.replace(finding, check=name) for name, check in checks.items() for finding in check(evidence)]
    if evidence.unreachable:
        fix = "Mend that first: without Kafka only the bundles can be looked at."
        found.append(dataclasses.replace(problem("Kafka does not answer.", evidence.unreachable, fix), check="kafka"))
    return Diagnosis(tuple(sorted(found, key=lambda one: SEVERITIES.index(one.severity))), tuple(checks))
