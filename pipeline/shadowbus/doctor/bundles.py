"""Whether each shadow's bundle is what was made, runs on what is installed, and gets the features it knows."""

from collections import Counter
from collections.abc import Iterator

from shadowbus.doctor.evidence import BundleFacts, Evidence
from shadowbus.doctor.finding import Finding, listed, problem, warning


def check_bundles(evidence: Evidence) -> Iterator[Finding]:
    """Bundles that cannot be trusted, and library versions that differ."""
    for bundle in evidence.bundles:
        if bundle.wrong:
            yield problem(
                f"The bundle of {bundle.shadow} cannot be used, so its replay does not start.",
                bundle.wrong,
                f"Correct [[shadow]] {bundle.shadow!r} in {evidence.settings.source.name} as that says, or make the "
                "bundle again: `shadowbus bundle`.",
            )
            continue
        yield from _libraries(bundle)


def check_network(evidence: Evidence) -> Iterator[Finding]:
    """Models that reach the network though the settings do not say so."""
    shadows = [shadow.name for shadow in evidence.settings.shadow if not shadow.network]
    if evidence.network and shadows:
        yield warning(
            "Models reach the network here: what a shadow sends, it sends for each request a second time.",
            f"the network cannot be taken from {listed(shadows)}: {evidence.network}",
            "Allow the worker to make namespaces, or keep its network to Kafka from outside: docs/operations.md, "
            "'What a model can reach'. Where a model needs the network: network = true in its [[shadow]].",
        )


def check_features(evidence: Evidence) -> Iterator[Finding]:
    """Features that a model was trained on and requests do not bring."""
    sample = evidence.samples.get("requests")
    brought = [one.parsed["features"] for one in sample.records if not one.wrong] if sample else []
    named = [set(features) for features in brought if isinstance(features, dict)]
    lengths = [len(features) for features in brought if isinstance(features, list)]
    for bundle in evidence.bundles:
        yield from _lengths(bundle, lengths)
        absent = Counter(name for name in bundle.features or () for features in named if name not in features)
        if not absent:
            continue
        never = [name for name, count in absent.items() if count == len(named)]
        finding = problem if never else warning
        told = listed([f"{name!r} ({count})" for name, count in absent.most_common()])
        yield finding(
            f"Requests lack features that {bundle.shadow} was trained on.",
            f"absent in so many of {len(named)} sampled requests: {told}.",
            "Send them in `features` under the names in the bundle's manifest, or bundle a model without them.",
        )


def _lengths(bundle: BundleFacts, lengths: list[int]) -> Iterator[Finding]:
    wrong = Counter(length for length in lengths if bundle.features and length != len(bundle.features))
    if wrong and bundle.features:
        told = listed([f"{length} ({count})" for length, count in wrong.most_common()])
        yield problem(
            f"Requests bring another number of features than {bundle.shadow} was trained on.",
            f"it was trained on {len(bundle.features)}; so many sampled requests have as many: {told}.",
            "Send features by name, or as a list in the order of the bundle's manifest.",
        )


def _libraries(bundle: BundleFacts) -> Iterator[Finding]:
    differing = [
        f"{library} {made} then, {bundle.installed.get(library, 'not installed')} now"
        for library, made in bundle.made_with.items()
        if bundle.installed.get(library) != made
    ]
    if differing:
        wanted = " ".join(f"{library}=={made}" for library, made in bundle.made_with.items())
        yield warning(
            f"The bundle of {bundle.shadow} was made with other library versions: its answers may differ.",
            f"{listed(differing)}.",
            f"Install what it was made with (pip install {wanted}), or bundle the model again with what is installed.",
        )
