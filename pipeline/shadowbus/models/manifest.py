"""What a bundle says about itself: `manifest.json`, checked key by key.

In: the bytes of a manifest. Out: a `Manifest` whose every field has been checked, or one sentence that names the file,
the key and what to do. Guaranteed: a `Manifest` that exists is well formed; whether its file is the one it vouches for
is the bundle's to check.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import cast

import orjson

from shadowbus.cutoff import ASSUMED, Cutoff, Source
from shadowbus.errors import BundleError
from shadowbus.models.input_schema import InputSchema, schema_from
from shadowbus.models.kinds import FORMATS

MANIFEST_FILE = "manifest.json"
SAMPLE_FILE = "sample.jsonl"
SCHEMA_VERSION = 1

# A model's full name is `name@version` and ends up in trial keys and metric labels, where '|', '~', '@' and spaces
# separate.
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One manifest, field by field.

    Attributes:
        name: The model's name, without its version.
        version: The model's version.
        kind: Which adapter loads it, such as "sklearn".
        format: How the file was saved, such as "skops" (`kinds.py`).
        file: The model's file, relative to the bundle's folder.
        sha256: The file's hash, 64 lower-case hexadecimal digits.
        features: The features' names in the order the model was trained on, or None when it takes lists only.
        libraries: The versions installed when the bundle was made, by distribution name.
        created_ms: When the bundle was made, in milliseconds since the epoch.
        input: What the model was fitted with, or None in a bundle that does not say.
        sample_sha256: The hash of the rows and answers that are checked at every load, or None where there are none.
        trusted: Types beyond skops' own that the maker of the bundle trusts; when it is loaded, only classes of
            estimators among them count.
        trained_until_ms: The model may have been trained on requests from before this time, in milliseconds since the
            epoch; None in a bundle that does not say.
        trained_until_from: Where that comes from: "flag", "mlflow", "file" or "bundled" (`trained_until.py`).
    """

    name: str
    version: str
    kind: str
    format: str
    file: str
    sha256: str
    features: tuple[str, ...] | None
    libraries: Mapping[str, str]
    created_ms: int
    input: InputSchema | None = None
    sample_sha256: str | None = None
    trusted: tuple[str, ...] = ()
    trained_until_ms: int | None = None
    trained_until_from: str = "bundled"

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes two bundles the same bundle: their file and its features."""
        return (self.name, self.version, self.kind, self.format, self.sha256, self.features)

    @property
    def cutoff(self) -> Cutoff:
        """Until when the model was trained: when the bundle was made, where nobody said."""
        if self.trained_until_ms is None:
            return Cutoff(self.created_ms, "bundled", self.created_ms)
        source = cast(Source, self.trained_until_from)
        return Cutoff(self.trained_until_ms, source, self.created_ms if source in ASSUMED else 0)

    def encode(self) -> bytes:
        """The bytes of `manifest.json`, in one order and readable by people."""
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        told["input"] = None if self.input is None else self.input.as_json()
        return orjson.dumps({"v": SCHEMA_VERSION, **told}, option=orjson.OPT_INDENT_2) + b"\n"

    @classmethod
    def decode(cls, data: bytes, where: Path) -> "Manifest":
        """Check a manifest's bytes; unknown keys are ignored.

        Args:
            data: The bytes of `manifest.json`.
            where: The file they come from, for the error's sentence.

        Raises:
            BundleError: When it is not JSON, or a key is absent or has a value it may not have.
        """
        try:
            found = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise BundleError(f"{where} is not JSON ({error}); make the bundle again.") from error
        if not isinstance(found, dict):
            raise BundleError(f"{where} must hold a JSON object; make the bundle again.")
        if found.get("v") != SCHEMA_VERSION:
            raise BundleError(
                f"{where} has 'v' {found.get('v')!r}, and this release reads 'v' {SCHEMA_VERSION}; "
                "make the bundle again, or install the release that wrote it."
            )
        for key, (accepts, wanted) in {**_CHECKS, **_LATER_CHECKS}.items():
            if key not in found and key in _LATER_CHECKS:
                continue
            if key not in found or not accepts(found[key]):
                seen = f"not {found[key]!r}" if key in found else "and is absent"
                raise BundleError(f"{where}: '{key}' must be {wanted}, {seen}; make the bundle again.")
        features = found["features"]
        return cls(
            **{key: found[key] for key in _CHECKS if key != "features"},
            features=None if features is None else tuple(features),
            input=None if found.get("input") is None else schema_from(found["input"], where),
            sample_sha256=found.get("sample_sha256"),
            trusted=tuple(found.get("trusted", ())),
            trained_until_ms=found.get("trained_until_ms"),
            trained_until_from=found.get("trained_until_from", "bundled"),
        )


def check_word(key: str, value: str) -> None:
    """Refuse a name or version that could not stand in a topic's key.

    Raises:
        BundleError: When it holds anything but letters, digits and `. _ + -`, or is longer than 64 characters.
    """
    if not _WORD.fullmatch(value):
        raise BundleError(f"A model's {key} must be {_WORD_WANTED}, not {value!r}; choose another.")


def check_features(features: Sequence[str]) -> None:
    """Refuse names that cannot be looked up one by one.

    Raises:
        BundleError: When there are none, one is empty or not text, or one comes twice.
    """
    if not _are_features(list(features)):
        raise BundleError(f"'features' must be {_FEATURES_WANTED}, not {list(features)!r}.")


def _is_word(value: object) -> bool:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _are_types(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and "." in name for name in value)


def _is_inside(value: object) -> bool:
    if not isinstance(value, str) or not value or "\\" in value or "\0" in value:
        return False
    path = PurePosixPath(value)
    return not path.is_absolute() and ".." not in path.parts and path.name != ""


def _are_features(value: object) -> bool:
    if not isinstance(value, list):
        return value is None
    texts = all(isinstance(name, str) and name for name in value)
    return bool(value) and texts and len(set(value)) == len(value)


def _are_libraries(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(version, str) for version in value.values())


def _is_moment(value: object) -> bool:
    return type(value) is int and value >= 0


_WORD_WANTED = "1 to 64 letters, digits and . _ + - (a letter or digit first)"
_FEATURES_WANTED = "different, non-empty names (or null, for a model that takes lists only)"
_CHECKS: dict[str, tuple[Callable[[object], bool], str]] = {
    "name": (_is_word, _WORD_WANTED),
    "version": (_is_word, _WORD_WANTED),
    "kind": (_is_word, _WORD_WANTED),
    "format": (lambda value: value in FORMATS, " or ".join(f"'{one}'" for one in sorted(FORMATS, reverse=True))),
    "file": (_is_inside, "a path inside the bundle's folder"),
    "sha256": (_is_hash, "64 lower-case hexadecimal digits"),
    "features": (_are_features, _FEATURES_WANTED),
    "libraries": (_are_libraries, "an object of versions by library"),
    "created_ms": (_is_moment, "milliseconds since the epoch"),
}
_LATER_CHECKS: dict[str, tuple[Callable[[object], bool], str]] = {
    "sample_sha256": (lambda value: value is None or _is_hash(value), "64 lower-case hexadecimal digits, or null"),
    "trusted": (_are_types, "a list of full type names"),
    "trained_until_ms": (lambda value: value is None or _is_moment(value), "milliseconds since the epoch, or null"),
    "trained_until_from": (lambda value: value in ("flag", *ASSUMED), f"one of flag, {', '.join(ASSUMED)}"),
}
"""Keys that earlier releases did not write."""
