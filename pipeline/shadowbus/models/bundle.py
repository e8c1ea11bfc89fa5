"""A model bundle: a folder with `manifest.json` and the model's file.

In: a folder. Out: its manifest, and the bytes of its files. Guaranteed: nobody gets a byte of the model's file unless
the file has the hash that the manifest vouches for.

The hash shows that a file is the one that was bundled; it does not show who made it. That is why formats that run code
are opened only by an explicit choice (`kinds.py`).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from shadowbus.errors import BundleError
from shadowbus.models.manifest import MANIFEST_FILE, SAMPLE_FILE, Manifest


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


def _check_inside(folder: Path, file: str) -> None:
    if not (folder / file).resolve().is_relative_to(folder.resolve()):
        raise BundleError(
            f"{folder / MANIFEST_FILE}: 'file' ({file}) leads outside the bundle's folder; make the bundle again."
        )
