"""What a backtest is of: shadows and files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from shadowbus.backtest.log import names_in
from shadowbus.cutoff import Cutoff, moment
from shadowbus.errors import BundleError, SettingsError
from shadowbus.models.bundle import read_bundle
from shadowbus.models.configured import cutoff_of, with_live
from shadowbus.settings import Settings, ShadowSettings

SHADOW_PREDICTION = "shadow_prediction"
"""The column of a shadow's answers where `[backtest]` names none."""

NAMELESS = "shadow"
"""The name of a shadow of which only answers are given, and no name."""

NEVER = 1e9
"""Seconds: vitals come when they are asked for, not as often as the records' time has passed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One backtest.

    Attributes:
        settings: For one partition, and without what only traffic that does not wait has use for.
        shadows: Those that are asked, in this order.
        files: By topic: `requests`, `predictions` and perhaps `labels`.
        recorded: Predictions that were already made, by the shadow's name.
        trained_until: What was said of all models: a cut-off, or that there is none; else the bundles' own count.
    """

    settings: Settings
    shadows: tuple[ShadowSettings, ...]
    files: dict[str, Path]
    recorded: dict[str, Path]
    trained_until: Cutoff | Literal["none"] | None = None

    def cutoff_of(self, shadow: ShadowSettings) -> Cutoff | None:
        """Until when a shadow's model was trained; None where nobody knows, or it was said that it does not matter.

        Raises:
            BundleError: There is no bundle.
        """
        if self.trained_until is not None:
            return None if self.trained_until == "none" else self.trained_until
        if shadow.name not in self.recorded:
            return with_live(cutoff_of(self.settings.model_path(shadow)), self.settings)
        return with_live(self._of_recorded(shadow), self.settings)

    def _of_recorded(self, shadow: ShadowSettings) -> Cutoff | None:
        """What the bundle in the settings tells of answers that were made before: only when it was made."""
        try:
            return Cutoff(0, "unsaid", read_bundle(self.settings.model_path(shadow)).manifest.created_ms)
        except BundleError:
            return None

    def topics_by_file(self) -> dict[Path, tuple[str, ...]]:
        """What each file is read for: one that is named twice is read once."""
        found: dict[Path, tuple[str, ...]] = {}
        for topic, path in self.files.items():
            found[path] = (*found.get(path, ()), topic)
        return found


def plan(
    settings: Settings,
    shadows: Sequence[str],
    files: dict[str, Path],
    recorded: Sequence[str],
    trained_until: str | None = None,
) -> Plan:
    """What the command line asks for.

    Args:
        settings: As they are in the file.
        shadows: Names of shadows; none where there are no several to choose from.
        files: By topic.
        recorded: `NAME=FILE`, or `FILE` alone where there is one shadow.
        trained_until: A time, or `none`.

    Raises:
        SettingsError: A shadow is unknown, or named twice, or one of several has to be named; or the time is none.
    """
    names = list(dict.fromkeys(shadows)) or _named_in(recorded) or [_only(settings)]
    made = dict(_named(one, names) for one in recorded)
    if len(made) < len(recorded) or len(names) < len(shadows):
        raise SettingsError("A shadow is named twice.")
    asked = tuple(
        ShadowSettings(name, "")
        if name in made and name not in [shadow.name for shadow in settings.shadow]
        else settings.shadow_named(name)
        for name in names
    )
    others = [shadow for shadow in settings.shadow if shadow.name not in names]
    patient = replace(settings.replay, shed_when_behind_seconds=0.0)
    silent = replace(settings.worker, vitals_seconds=NEVER)
    alone = replace(settings, partitions=1, shadow=(*asked, *others), replay=patient, worker=silent)
    return Plan(alone, asked, files, made, _trained_until(trained_until))


def _trained_until(told: str | None) -> Cutoff | Literal["none"] | None:
    if told is None:
        return None
    return "none" if told == "none" else Cutoff(moment(told), "flag")


def one_file(settings: Settings, path: Path) -> tuple[Settings, dict[str, Path], list[str]]:
    """What one file is read for: requests and predictions, and labels and a shadow's predictions if it has them.

    Args:
        settings: As they are in the file.
        path: The file.

    Returns:
        The settings, with `shadow_prediction` as column where the file has one of that name; files by topic; files of a
        shadow's predictions.
    """
    files, columns = {"requests": path, "predictions": path}, settings.backtest
    names = names_in(path, columns)
    if columns.label in names:
        files["labels"] = path
    answered = columns.shadow_prediction or SHADOW_PREDICTION
    if answered not in names:
        return settings, files, []
    return replace(settings, backtest=replace(columns, shadow_prediction=answered)), files, [str(path)]


def _only(settings: Settings) -> str:
    names = [shadow.name for shadow in settings.shadow]
    if len(names) > 1:
        raise SettingsError(
            f"{settings.source} has several shadows: say which with --shadow, one of {', '.join(names)}."
        )
    return names[0] if names else NAMELESS


def _named_in(recorded: Sequence[str]) -> list[str]:
    """The shadows whose recorded predictions are given by name."""
    return [one.partition("=")[0] for one in recorded if "=" in one and not Path(one).exists()]


def _named(one: str, names: Sequence[str]) -> tuple[str, Path]:
    name, equals, path = one.partition("=")
    if equals and name in names:
        return name, Path(path)
    if len(names) == 1:
        return names[0], Path(one)
    raise SettingsError(f"'--shadow-predictions {one}' has to name its shadow: NAME=FILE, with one of {names}.")
