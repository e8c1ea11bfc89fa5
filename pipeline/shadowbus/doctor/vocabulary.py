"""Whether labels and predictions speak of the same classes."""

from collections.abc import Iterator

from shadowbus.compare.class_name import class_name, classes_of
from shadowbus.doctor.evidence import Evidence
from shadowbus.doctor.finding import Finding, problem
from shadowbus.doctor.sample import Sample
from shadowbus.verdict.vocabulary import ENOUGH, named


def check_vocabulary(evidence: Evidence) -> Iterator[Finding]:
    """Labels of classes that no model ever answers: then nobody is ever right."""
    samples = evidence.samples
    if "labels" not in samples or "predictions" not in samples:
        return
    for shadow in evidence.settings.shadow:
        if shadow.task != "classification":
            continue
        same = classes_of(shadow.options.get("same_class", {}))
        labels, answers = (
            _classes(samples["labels"], "label", same),
            _classes(samples["predictions"], "prediction", same),
        )
        if len(labels) >= ENOUGH and len(answers) >= ENOUGH and set(labels).isdisjoint(answers):
            yield problem(
                f"Labels and predictions have no class in common, so {shadow.name} and the live model are never right.",
                f"Of {len(labels)} sampled labels and {len(answers)} predictions: labels {named(labels)}, answers "
                f"{named(answers)}.",
                "Say in [shadow.options] which are the same, as same_class = { yes = 1, no = 0 }: docs/answers.md.",
            )


def _classes(sample: Sample, key: str, same: dict[str, str]) -> list[str]:
    names = (class_name(record.parsed.get(key)) for record in sample.records if not record.wrong)
    return [same.get(name, name) for name in names if name is not None]
