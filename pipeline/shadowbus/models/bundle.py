"""A model bundle: a folder with `manifest.json` and the model's file.

In: a fitted estimator saved as `.skops`, `.joblib` or a pickle. Out: a folder that names the model, its features and
the hash of its file. Guaranteed: a bundle appears whole or not at all, is never replaced by a different one, and nobody
gets a byte of the model's file that does not have the hash the manifest vouches for.

The hash shows that a file is the one that was bundled; it does not show who made it. That is why pickles are opened
only by an explicit choice: see `estimator.py`.
"""

import contextlib
import hashlib
import secrets
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

from shadowbus.cutoff import Cutoff
from shadowbus.errors import BundleError
from shadowbus.models.manifest import FORMATS, MANIFEST_FILE, Manifest, check_features, check_word
from shadowbus.models.sample import SAMPLE_FILE, answered, read_sample, told_by
from shadowbus.models.saved_at import trained_until
from shadowbus.models.sklearn.loading import load_estimator

_LIBRARIES = ("scikit-learn", "numpy", "scipy", "skops", "joblib")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder whose manifest has been read and checked; its file has not been opened yet.

    Attributes:
        folder: Where the bundle is.
        manifest: What it says about itself.
    """

    folder: Path
    manifest: Manifest

    @property
    def model(self) -> str:
        """The model's full name, `name@version`."""
        return f"{self.manifest.name}@{self.manifest.version}"

    @property
    def features(self) -> tuple[str, ...] | None:
        """The features' names in training order, or None when the model takes lists only."""
        return self.manifest.features

    @property
    def path(self) -> Path:
        """The model's file."""
        return self.folder / self.manifest.file

    def read(self) -> bytes:
        """The bytes of the model's file, which are exactly those that were hashed.

        Raises:
            BundleError: When the file is absent, lies outside the folder, or has another hash.
        """
        return self._read(self.manifest.file, self.manifest.sha256)

    def read_sample(self) -> bytes | None:
        """The rows and answers that are checked at every load, or None where the bundle has none.

        Raises:
            BundleError: As `read`.
        """
        wanted = self.manifest.sample_sha256
        return None if wanted is None else self._read(SAMPLE_FILE, wanted)

    def _read(self, file: str, sha256: str) -> bytes:
        _check_inside(self.folder, file)
        path = self.folder / file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BundleError(
                f"The model's file {path} cannot be read ({error.strerror}); make the bundle again."
            ) from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise BundleError(
                f"{path} is not the file that {MANIFEST_FILE} vouches for (its sha256 differs); "
                "do not load it, find out who changed it, or make the bundle again."
            )
        return data

    def verify(self) -> None:
        """Check that the model's file and sample are those the manifest vouches for.

        Raises:
            BundleError: When they are not.
        """
        self.read()
        self.read_sample()


def read_bundle(path: Path) -> Bundle:
    """Read and check a bundle's manifest, without opening the model's file.

    Args:
        path: The bundle's folder.

    Raises:
        BundleError: When there is no manifest, it is malformed, or its file lies outside the folder.
    """
    where = path / MANIFEST_FILE
    try:
        data = where.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path} is not a model bundle: {MANIFEST_FILE} cannot be read there ({error.strerror}); "
            "make one with 'shadowbus bundle'."
        ) from error
    manifest = Manifest.decode(data, where)
    _check_inside(path, manifest.file)
    return Bundle(path, manifest)


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
    """Make a bundle of a saved, fitted estimator.

    The estimator is loaded to see that it can be, and to take down what it was fitted with. A `.joblib` or pickle file
    runs code of its own when it is opened: without `allow_pickle` it is only copied and hashed, and needs `features`.

    Writing the same bundle again is fine and changes nothing, also from two processes at once.

    Args:
        file: The saved estimator; its suffix says the format.
        name: The model's name.
        version: The model's version.
        out: The bundle's folder, which appears whole or not at all.
        features: The features' names in training order; None takes them from the estimator.
        now_ms: The time to record.
        allow_pickle: Whether to open a `.joblib` or pickle file, which runs the code in it.
        trusted: More types that skops may build, for a `.skops` file.
        sample: A file of rows (JSON lines or Parquet) that the model is asked, here and at every load.
        trained_until_ms: The time of the newest record it was trained on; None where nobody says: `saved_at.py`.

    Raises:
        BundleError: When the file cannot be read or loaded, a name is not allowed, the features do not fit the
            estimator, its input cannot be built from requests, it cannot answer the sample, or `out` holds something
            else.
    """
    check_word("name", name)
    check_word("version", version)
    if features is not None:
        check_features(features)
    kind_of_file = FORMATS.get(file.suffix.lower())
    if kind_of_file is None:
        raise BundleError(f"{file} must end in one of {', '.join(FORMATS)}, which says how it was saved.")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BundleError(f"{file} cannot be read ({error.strerror}); check the path.") from error
    told = None if trained_until_ms is None else Cutoff(trained_until_ms, "flag")
    cutoff = told or trained_until(file, data, now_ms)
    manifest = Manifest(
        name=name,
        version=version,
        kind="sklearn",
        format=kind_of_file,
        file=f"model.{kind_of_file}",
        sha256=hashlib.sha256(data).hexdigest(),
        features=None if features is None else tuple(features),
        libraries=installed(_LIBRARIES),
        created_ms=now_ms,
        trusted=tuple(trusted),
        trained_until_ms=cutoff.until_ms,
        trained_until_from=cutoff.source,
    )
    if kind_of_file == "joblib" and not allow_pickle:
        if features is None or sample is not None:
            raise BundleError(
                f"{file} is a pickle, which runs code of its own when opened, so nothing is known of what it reads. If "
                "you know who made it, add --allow-pickle here and `allow_pickle = true` to the shadow's settings; "
                "else save the model with skops."
            )
        return _place(manifest, data, None, out)
    return _place(*_looked_into(manifest, data, trusted, sample), out)


def _looked_into(
    manifest: Manifest, data: bytes, trusted: Sequence[str], sample: Path | None
) -> tuple[Manifest, bytes, bytes | None]:
    """The manifest with what the estimator was fitted with, its file, and the sample with the model's answers."""
    from shadowbus.models.sklearn.fitted_with import fitted_with, packages_of
    from shadowbus.models.sklearn.model import SklearnModel

    estimator = load_estimator(data, manifest.format, allow_pickle=True, trusted=trusted)
    rows = None if sample is None else read_sample(sample)
    schema = fitted_with(estimator, manifest.features)
    if rows is not None:
        schema = told_by(rows, schema)
    model = SklearnModel(f"{manifest.name}@{manifest.version}", estimator, schema=schema)
    used = packages_of(estimator) | ({"pandas"} if schema.container == "frame" else set())
    answers = None if rows is None else answered(model, rows.rows)
    manifest = replace(
        manifest,
        features=schema.names,
        input=schema,
        libraries=installed(sorted({*_LIBRARIES, *used})),
        sample_sha256=None if answers is None else hashlib.sha256(answers).hexdigest(),
    )
    return manifest, data, answers


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


def _check_inside(folder: Path, file: str) -> None:
    if not (folder / file).resolve().is_relative_to(folder.resolve()):
        raise BundleError(
            f"{folder / MANIFEST_FILE}: 'file' ({file}) leads outside the bundle's folder; make the bundle again."
        )


def installed(distributions: Iterable[str]) -> dict[str, str]:
    """The versions of some libraries, those that are installed."""
    found = {}
    for library in distributions:
        with contextlib.suppress(PackageNotFoundError):
            found[library] = installed_version(library)
    return found
