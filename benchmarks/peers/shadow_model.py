"""What every peer needs besides its framework: the bundle's model, and the comparison of two answers.

Needs only skops and orjson, because peers run where shadowbus is not installed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import skops.io

Record = Mapping[str, Any]


class ShadowModel:
    """The shadow of the benchmark: a scikit-learn classifier with classes 0, 1, ….

    Args:
        bundle: The folder with its manifest.
    """

    def __init__(self, bundle: Path) -> None:
        manifest = orjson.loads((bundle / "manifest.json").read_bytes())
        file = bundle / manifest["file"]
        self.name = f"{manifest['name']}@{manifest['version']}"
        self._features: list[str] = manifest["features"]
        self._model = skops.io.load(file, trusted=skops.io.get_untrusted_types(file=file))

    def scores(self, requests: Sequence[Record]) -> list[list[float]]:
        """Class probabilities of each request, with one call of the model for all of them."""
        rows = [[request["features"][name] for name in self._features] for request in requests]
        scores: list[list[float]] = self._model.predict_proba(rows).tolist()
        return scores

    def compare(self, request: Record, live: Record, scores: list[float]) -> bytes:
        """The comparison of the live prediction with what the model said."""
        prediction = scores.index(max(scores))
        return orjson.dumps(
            {
                "request_id": request["request_id"],
                "trial": f"{live['model']}~{self.name}",
                "status": "compared",
                "live": {key: live[key] for key in ("model", "prediction", "scores", "latency_ms", "error")},
                "shadow": {
                    "model": self.name,
                    "prediction": prediction,
                    "scores": scores,
                    "latency_ms": None,
                    "error": None,
                },
                "agree": prediction == live["prediction"],
                "segments": request["segments"],
            }
        )
