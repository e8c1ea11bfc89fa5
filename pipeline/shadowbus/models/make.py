"""Makes a model bundle.

In: a saved, fitted model. Out: a folder with `manifest.json`, the model's file, and the sample if there is one.
Guaranteed: a bundle appears whole or not at all, and is never replaced by a different one.
"""

import contextlib
import hashlib
import secrets
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

from shadowbus.cutoff import Cutoff
from shadowbus.errors import BundleError
from shadowbus.models.bundle import Bundle, read_bundle
from shadowbus.models.kinds import Kind, kind_of
from shadowbus.models.load import adapter_of
from shadowbus.models.manifest import MANIFEST_FILE, SAMPLE_FILE, Manifest, check_features, check_word
from shadowbus.models.sample import answered, read_sample
from shadowbus.models.trained_until import trained_until


def write_bundle(
    file: Path,
    *,
    name: str,
    version: str,
    out: Path,
    features: Sequence[str] | None,
    now_ms: int,
    allow_pickle: bool = False,
    trusted: Sequence[str] = (),
    sample: Path | None = None,
    trained_until_ms: int | None = None,
) -> Bundle:
    """Make a bundle of a saved, fitted model.

    The model is loaded to see that it can be, and to record what it was fitted with. A `.joblib` or pickle file runs
    code of its own when it is opened: without `allow_pickle` it is only copied and hashed, and needs `features`.

    Writing the same bundle again changes nothing, also from two processes at once.

    Args:
        file: The saved model; its suffix says the kind and the format.
        name: The model's name.
        version: The model's version.
        out: The bundle's folder, which appears whole or not at all.
        features: The features' names in training order; None takes them from the model.
        now_ms: The time to record, in milliseconds since the epoch.
        allow_pickle: Whether to open a `.joblib` or pickle file, which runs the code in it.
        trusted: More types that skops may build, for a `.skops` file.
        sample: A file of rows (JSON lines or Parquet) that the model is asked, here and at every load.
        trained_until_ms: The time of the newest record it was trained on; None to find out
            (`trained_until.py`).

    Raises:
        BundleError: The file cannot be read or loaded, a name is not allowed, the features do not fit the model, its
            input cannot be built from requests, it cannot answer the sample, or `out` holds something else.
    """
    check_word("name", name)
    check_word("version", version)
    if features is not None:
        check_features(features)
    kind = kind_of(file)
    saved_as = kind.formats[file.suffix.lower()]
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BundleError(f"{file} cannot be read ({error.strerror}); check the path.") from error
    given = None if trained_until_ms is None else Cutoff(trained_until_ms, "flag")
    cutoff = given or trained_until(file, data, now_ms)
    manifest = Manifest(
        name=name,
        version=version,
        kind=kind.name,
        format=saved_as,
        file=f"model.{saved_as}",
        sha256=hashlib.sha256(data).hexdigest(),
        features=None if features is None else tuple(features),
        libraries=installed(kind.libraries),
        created_ms=now_ms,
        trusted=tuple(trusted),
        trained_until_ms=cutoff.until_ms,
        trained_until_from=cutoff.source,
    )
    if saved_as in kind.runs_code and not allow_pickle:
        if features is None or sample is not None:
            raise BundleError(
                f"{file} is a pickle, which runs code of its own when opened, so nothing is known of what it reads. If "
                "you know who made it, add --allow-pickle here and `allow_pickle = true` to the shadow's settings; "
                "else save the model with skops."
            )
        return _place(manifest, data, None, out)
    manifest, answers = _inspected(kind, manifest, data, trusted, sample)
    return _place(manifest, data, answers, out)


def _inspected(
    kind: Kind, manifest: Manifest, data: bytes, trusted: Sequence[str], sample: Path | None
) -> tuple[Manifest, bytes | None]:
    """The manifest with what the model was fitted with, and the sample's rows with the model's answers."""
    rows = None if sample is None else read_sample(sample)
    name = f"{manifest.name}@{manifest.version}"
    found = adapter_of(kind, name).inspect(manifest, data, rows, trusted)
    answers = None if rows is None else answered(found.model, rows.rows)
    manifest = replace(
        manifest,
        features=found.schema.names,
        input=found.schema,
        libraries=installed(sorted({*kind.libraries, *found.packages})),
        sample_sha256=None if answers is None else hashlib.sha256(answers).hexdigest(),
    )
    return manifest, answers


def _place(manifest: Manifest, data: bytes, sample: bytes | None, out: Path) -> Bundle:
    if out.is_dir() and any(out.iterdir()):
        return _same_or_refuse(manifest, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    building = out.parent / f".{out.name}.{secrets.token_hex(8)}"
    building.mkdir()
    try:
        (building / manifest.file).write_bytes(data)
        if sample is not None:
            (building / SAMPLE_FILE).write_bytes(sample)
        (building / MANIFEST_FILE).write_bytes(manifest.encode())
        building.rename(out)
    except OSError as error:
        # Another writer may have been quicker: a folder that is not empty cannot be renamed over.
        if out.is_dir():
            return _same_or_refuse(manifest, out)
        raise BundleError(f"The bundle cannot be put at {out} ({error.strerror}).") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return Bundle(out, manifest)


def _same_or_refuse(manifest: Manifest, out: Path) -> Bundle:
    present = read_bundle(out)
    if present.manifest.identity != manifest.identity or not _alike(present.manifest, manifest):
        raise BundleError(
            f"{out} already holds another bundle ({present.model}, sha256 {present.manifest.sha256[:12]}…); "
            "give this one a version and a folder of its own."
        )
    present.verify()
    return present


def _alike(present: Manifest, new: Manifest) -> bool:
    """Whether a bundle says what is to be said now; one that says nothing of its input was made by an older release."""
    told = new.trained_until_from != "flag" or present.cutoff == new.cutoff
    return told and present.input in (None, new.input) and present.sample_sha256 == new.sample_sha256


def installed(distributions: Iterable[str]) -> dict[str, str]:
    """The versions of some libraries, those that are installed."""
    found = {}
    for library in distributions:
        with contextlib.suppress(PackageNotFoundError):
            found[library] = installed_version(library)
    return found
