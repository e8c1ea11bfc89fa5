"""What a model process has cost and survived."""

import contextlib
from dataclasses import dataclass

import psutil


@dataclass(slots=True)
class ModelVitals:
    """What the model process has cost and survived so far."""

    rows: int = 0
    batches: int = 0
    batch_ms: float = 0.0
    deaths: int = 0
    loads: int = 0
    pid: int = 0

    def record(self, circuit_open: bool) -> dict[str, object]:
        """As it stands in the vitals topic; CPU seconds and resident bytes of the process alive now."""
        cpu, resident = None, None
        if self.pid:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(self.pid)
                cpu, resident = sum(process.cpu_times()[:2]), process.memory_info().rss
        return {
            "rows": self.rows,
            "batches": self.batches,
            "batch_ms_per_row": self.batch_ms / self.rows if self.rows else None,
            "restarts": self.deaths,
            "cpu_s": cpu,
            "resident_bytes": resident,
            "circuit": "open" if circuit_open else "closed",
        }
