"""What production calls: requests, live predictions and labels go out, and nothing ever comes back.

| file | what it is |
|---|---|
| `tap` | `Tap`: what a service holds |
| `asgi` | `ShadowTap`: the same for an HTTP service that should stay as it is |
| `call`, `watch` | the other two ways in: a `with` block, a decorator |
| `routes` | which HTTP requests are watched |
| `exchange`, `bodies`, `mirror` | what passed by in one HTTP request, and what it says |
| `recorder`, `wire` | how that becomes records |
| `plain`, `kinds` | whatever a service has at hand, as plain values that are not too large |
| `fields`, `asking` | what a label says beside the label; code of the service's own that may raise |
| `ids`, `sampling` | their keys, and which are kept |
| `outbox`, `courier` | the bounded buffer, and the producer behind it |
| `counters` | what became of every record |
"""

from shadowbus.capture.asgi import ShadowTap
from shadowbus.capture.counters import Counters
from shadowbus.capture.tap import Tap

__all__ = ["Counters", "ShadowTap", "Tap"]
