"""How near the stage comes to what a heavier model does by itself.

The model's own speed is `predict_proba` over the same rows, as a matrix that is ready, in batches as large as the
stage's, on one thread, with nothing else running. The stage parses, joins, writes and also asks a sample of rows one at
a time.
"""

import time
from typing import Any

from bench import Bench
from processes import say
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from stream import filled_stream
from threadpoolctl import threadpool_limits
from workload import make_bundle, request_rows

BATCH = 1_000
ALONE_S = 3.0
STAGE_S = 10.0
TIMEOUT_MS = 2_000.0
"""One row alone takes such a forest tens of milliseconds, and several times that where the cores are shared."""


def estimators() -> dict[str, Any]:
    """Models whose cost is that of the model, not of the journey."""
    return {
        "random-forest": RandomForestClassifier(n_estimators=300, max_depth=12, random_state=0, n_jobs=1),
        "gradient-boosting": HistGradientBoostingClassifier(
            max_iter=1_000, max_leaf_nodes=31, learning_rate=0.02, early_stopping=False, random_state=0
        ),
    }


def heavy_models(bench: Bench, most_pairs: int) -> list[dict[str, object]]:
    """The stage's speed against each model's own."""
    found: list[dict[str, object]] = []
    for name, estimator in estimators().items():
        say(f"heavier model: {name}")
        bundle = make_bundle(bench.folder, estimator, name)
        alone = own_speed(estimator)
        pairs = max(1_000, min(most_pairs, int(alone * STAGE_S)))
        stream = filled_stream(
            bench.bootstrap, bench.name(name), bundle, pairs, settings={"shadow.timeout_ms": TIMEOUT_MS}
        )
        measured = bench.shadowbus(stream, pairs)
        stream.delete()
        again = own_speed(estimator)
        own = (alone + again) / 2
        say(f"    {measured.pairs_per_s:,.0f} pairs/s, {measured.pairs_per_s / own:.2f} of the model alone")
        found.append(
            {
                "name": name,
                "description": " ".join(str(estimator).split()),
                "own_rows_per_s": own,
                "pairs_per_s": measured.pairs_per_s,
                "ratio": measured.pairs_per_s / own,
                "pairs": pairs,
            }
        )
    return found


def own_speed(estimator: Any, seconds: float = ALONE_S) -> float:
    """Rows a second of the model by itself, on one thread."""
    rows = request_rows()
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    done = 0
    with threadpool_limits(1):
        estimator.predict_proba(batches[0])
        start = time.monotonic()
        while time.monotonic() < start + seconds:
            done += len(estimator.predict_proba(batches[done // BATCH % len(batches)]))
        return done / (time.monotonic() - start)
