"""The judge's store on disk: what was written is there after a kill, and nothing else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from shadowbus.judge.entry import Entry, KeptLabel
from shadowbus.judge.store import EntryStore

KILLED_AFTER_A_WRITE = """
import os, signal, sys
from pathlib import Path
from shadowbus.judge.entry import Entry, KeptLabel
from shadowbus.judge.store import EntryStore

pending = EntryStore(Path(sys.argv[1]))
for batch in range(20):
    for number in range(500):
        entry = Entry(batch)
        entry.correct(KeptLabel(0, b"%d" % number, 7), 24)
        pending.change(b"%d-%d" % (batch, number), entry)
    if batch < 19:
        pending.write({"labels": 500 * (batch + 1)})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_all_it_wrote_and_nothing_else(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(2):  # the second run opens, and writes over, what a kill has left
        killed = subprocess.run([sys.executable, "-c", KILLED_AFTER_A_WRITE, tmp_path], env=environment, check=False)
        assert killed.returncode == -signal.SIGKILL
    pending = EntryStore(tmp_path)
    ids = [[b"%d-%d" % (batch, number) for number in range(500)] for batch in range(20)]
    assert pending.positions() == {"labels": 19 * 500}
    for batch, keys in enumerate(ids[:19]):
        found = pending.entries((key, 0) for key in keys)
        assert [(found[key].hour, found[key].labels) for key in keys] == [
            (batch, [KeptLabel(0, b"%d" % number, 7)]) for number in range(500)
        ]
    assert not any(pending.entries((key, 0) for key in ids[19]).values())
    early = sorted(key for keys in ids[:5] for key in keys)
    assert pending.due(b"", 4 + 24, 10_000) == (early, None)
    pending.close()


def test_a_store_that_is_opened_again_and_again_loses_nothing(tmp_path: Path) -> None:
    for number in range(30):
        pending = EntryStore(tmp_path)
        entry = Entry(0)
        entry.correct(KeptLabel(0, b"%d" % number, 7), 24)
        pending.change(b"%d" % number, entry)
        pending.write({"labels": number + 1})
        pending.close()
        pending = EntryStore(tmp_path)
        assert pending.positions() == {"labels": number + 1}
        assert all(pending.entries((b"%d" % known, 0) for known in range(number + 1)).values())
        pending.close()
