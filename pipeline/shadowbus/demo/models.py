"""The demonstration's models: a champion, a better and a worse challenger, and one that crashes.

In: a folder. Out: four bundles in it and how well each does on rows nobody trained on. Guaranteed: a bundle that is
already there is used, not trained again (raise its version here when its recipe changes).
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import skops.io
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from shadowbus.clock import now_ms
from shadowbus.demo.crasher import Crasher, fate
from shadowbus.demo.digits import FEATURES, Rows, held_out, split
from shadowbus.models.bundle import Bundle, read_bundle
from shadowbus.models.load import load_model
from shadowbus.models.make import write_bundle
from shadowbus.models.manifest import MANIFEST_FILE

VERSION = "1"


def _champion() -> Any:
    # Half of the training rows: a champion as one finds it, good and a while old.
    table, _, digits, _ = split()
    return LogisticRegression(max_iter=300).fit(table[:300], digits[:300])


def _better() -> Any:
    table, _, digits, _ = split()
    kernel = Nystroem(gamma=0.0008, n_components=300, random_state=0)
    return make_pipeline(kernel, LogisticRegression(C=100.0, max_iter=500)).fit(table, digits)


def _worse() -> Any:
    table, _, digits, _ = split()
    return GaussianNB().fit(table, digits)


def _crasher() -> Any:
    return Crasher(_champion())


RECIPES: Mapping[str, tuple[Callable[[], Any], str]] = {
    "champion": (_champion, ".skops"),
    "better": (_better, ".skops"),
    "worse": (_worse, ".skops"),
    # A class of our own: skops would not build it, so it is a pickle, and its shadow needs allow_pickle = true.
    "crasher": (_crasher, ".joblib"),
}


@dataclass(frozen=True, slots=True)
class TrainedModels:
    """What `train` made.

    Attributes:
        bundles: The bundles by model name: champion, better, worse, crasher.
        accuracy: The share of held-out rows each answers rightly (for the crasher: of those it answers at all).
        held_out: The rows to serve.
    """

    bundles: Mapping[str, Bundle]
    accuracy: Mapping[str, float]
    held_out: Rows


def train(out: Path) -> TrainedModels:
    """Train the models, or take those that are there, and measure each as it was bundled.

    Args:
        out: Where the bundles go, as `<out>/<name>/<version>`.

    Raises:
        BundleError: When a bundle that is already there is damaged.
    """
    rows = held_out()
    with threadpool_limits(1):
        bundles = {name: _bundle(name, out / name / VERSION) for name in RECIPES}
        accuracy = {name: _accuracy(bundle, rows) for name, bundle in bundles.items()}
    return TrainedModels(bundles, accuracy, rows)


def _bundle(name: str, folder: Path) -> Bundle:
    if (folder / MANIFEST_FILE).exists():
        return read_bundle(folder)
    make, suffix = RECIPES[name]
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / f"{name}{suffix}"
        save = skops.io.dump if suffix == ".skops" else joblib.dump
        save(make(), file)
        return write_bundle(file, name=name, version=VERSION, out=folder, features=FEATURES, now_ms=now_ms())


def _accuracy(bundle: Bundle, rows: Rows) -> float:
    # The crasher is asked for the rows it survives only; this process is not one that may die.
    harmless = [at for at, row in enumerate(rows.features) if fate(np.array(list(row.values()))) is None]
    asked = harmless if bundle.manifest.name == "crasher" else range(len(rows.labels))
    model = load_model(bundle, allow_pickle=bundle.manifest.format == "joblib")
    answers = model.predict([rows.features[at] for at in asked])
    right = sum(answer == rows.labels[at] for answer, at in zip(answers.predictions, asked, strict=True))
    return right / len(answers.predictions)
