"""The judge's store when its disk fails: what is damaged is made anew, what merely cannot be used now is left alone."""

import functools
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rocksdict import Rdict

from shadowbus.compare import make_comparator
from shadowbus.errors import Retry
from shadowbus.judge.dictionary import SharedFields
from shadowbus.judge.entry import Entry, KeptLabel
from shadowbus.judge.rocksdb import tuned
from shadowbus.judge.stage import JudgeStage
from shadowbus.judge.store import EntryStore
from shadowbus.settings import parse_settings

KEYS = [b"key-%05d" % number for number in range(20_000)]
POSITIONS = {"labels": len(KEYS), "comparisons": 0}
FRAMES = [SharedFields(f"live@{number}~s@1", b"{}", None, None, 1.0) for number in range(9_000)]


def entry(number: int) -> Entry:
    made = Entry(number)
    made.correct(KeptLabel(0, os.urandom(60).hex().encode(), 7), 24)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of many entries and frames, all of them in files."""
    made = tmp_path / "judge" / "0"
    pending = EntryStore(made)
    pending.belong_to("state")
    for frame in FRAMES:
        pending.dictionary.number_of(frame)
    for number, key in enumerate(KEYS):
        pending.change(key, entry(number))
    pending.write(POSITIONS)
    pending.close()
    database = Rdict(str(made), tuned())
    database.flush()
    database.close()
    return made


def one(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def flip(path: Path, share: float) -> None:
    """Other bytes in a file, of the same length."""
    with path.open("rb+") as file:
        place = int(path.stat().st_size * share)
        file.seek(place)
        old = file.read(64)
        file.seek(place)
        file.write(bytes(byte ^ 0xFF for byte in old))


def flip_table(share: float, folder: Path) -> None:
    flip(one(folder, "*.sst"), share)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a table is cut": lambda folder: os.truncate(one(folder, "*.sst"), 50_000),
    "a table is empty": lambda folder: os.truncate(one(folder, "*.sst"), 0),
    "a table is gone": lambda folder: one(folder, "*.sst").unlink(),
    "the manifest is gone": lambda folder: one(folder, "MANIFEST-*").unlink(),
    "the manifest is cut": lambda folder: os.truncate(one(folder, "MANIFEST-*"), 100),
    "the manifest is flipped": lambda folder: flip(one(folder, "MANIFEST-*"), 0.3),
    "CURRENT is garbage": lambda folder: one(folder, "CURRENT").write_bytes(b"what?"),
    "CURRENT is empty": lambda folder: os.truncate(one(folder, "CURRENT"), 0),
    "rocksdict's own file is garbage": lambda folder: one(folder, "rocksdict-config.json").write_bytes(b"\xff{"),
    **{
        f"a table is flipped at {share}": functools.partial(flip_table, share)
        for share in (0.05, 0.3, 0.6, 0.95, 0.999)
    },
}


def used(folder: Path) -> EntryStore:
    """Opened and read in full, as often as it takes: each `Retry` is another start of the worker."""
    for _ in range(3):
        pending: EntryStore | None = None
        try:
            pending = EntryStore(folder)
            if pending.positions():
                pending.entries((key, 0) for key in KEYS)
                assert pending.due(b"", 10**6, len(KEYS) + 1)[0] == KEYS, "the end of a table was taken for its end"
                assert [pending.dictionary.fields_of(number) for number in range(len(FRAMES))] == FRAMES
            return pending
        except Retry as error:
            logging.getLogger("test").warning("%s", error)
            if pending is not None:
                pending.close()
    raise AssertionError("it never becomes usable")


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_store_is_wiped_and_usable_again(
    damage: Callable[[Path], object], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(folder)
    pending = used(folder)
    if pending.positions():  # what was damaged is never read, so nothing is lost
        assert pending.positions() == POSITIONS
        assert "wiped" not in caplog.text
    else:
        assert "wiped" in caplog.text
    pending.change(b"new", entry(1))
    pending.write({"labels": 1})
    pending.close()
    pending = EntryStore(folder)
    assert pending.positions()["labels"] in (1, len(KEYS))
    assert pending.entries([(b"new", 0)])[b"new"]
    pending.close()


def test_a_store_of_another_format_and_one_of_odd_rows_are_wiped(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for key, value in ((b"\x00format", b"1"), (b"\x00positions", b"["), (b"f" + bytes(4), b"{}")):
        database = Rdict(str(folder), tuned())
        database.put(key, value)
        database.close()
        pending = EntryStore(folder)
        assert pending.positions() == {}
        pending.write(POSITIONS)
        pending.close()
    assert caplog.text.count("it is wiped") == 3
    database = Rdict(str(folder), tuned())
    database.put(b"eodd", b"\x00\x00\x00\x00\xc1")
    database.close()
    pending = EntryStore(folder)
    with pytest.raises(Retry, match=r"an entry.*it is wiped"):
        pending.entries([(b"odd", 0)])
    pending.close()


USES_IT = """
import os, resource, sys
from pathlib import Path
from shadowbus.compare import make_comparator
from shadowbus.errors import Retry
from shadowbus.judge.entry import Entry, KeptLabel
from shadowbus.judge.store import EntryStore
LIMIT
try:
    pending = EntryStore(Path(sys.argv[1]))
    for batch in range(400):
        for number in range(500):
            entry = Entry(batch)
            entry.correct(KeptLabel(0, os.urandom(100).hex().encode(), 7), 24)
            pending.change(b"%d-%d" % (batch, number), entry)
        pending.write({"labels": 20_000 + batch, "comparisons": 0})
except Retry as error:
    print(error)
    sys.exit(3)
"""
LIMITS = {
    "a file may not grow": "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))",
    "a file may grow a little": "resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))",
    "no more files may be open": "resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))",
    "the folder is not ours": "os.setgroups([]); os.setgid(65534); os.setuid(65534)",
}


def run(folder: Path, limit: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = [sys.executable, "-c", USES_IT.replace("LIMIT", limit), str(folder)]
    return subprocess.run(program, env=environment, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
def test_a_store_that_only_cannot_be_used_now_is_left_as_it_is(limit: str, folder: Path) -> None:
    if "setuid" in limit:
        if os.getuid() != 0:
            pytest.skip("only root can become somebody else")
        for parent in folder.parents[:4]:
            parent.chmod(0o755)
    refused = run(folder, limit)
    assert (refused.returncode, "cannot be used; look at the disk and its rights" in refused.stdout) == (3, True), (
        refused
    )
    assert "wiped" not in refused.stdout
    pending = EntryStore(folder)
    assert pending.positions()["labels"] >= len(KEYS)
    assert all(pending.entries((key, 0) for key in KEYS).values())
    assert [pending.dictionary.fields_of(number) for number in range(len(FRAMES))] == FRAMES
    pending.close()


def test_a_store_that_another_holds_is_left_as_it_is(folder: Path) -> None:
    first = EntryStore(folder)
    with pytest.raises(Retry, match="in use by another process"):
        EntryStore(folder)
    refused = run(folder, "")
    assert (refused.returncode, "in use by another process" in refused.stdout) == (3, True)
    assert all(first.entries((key, 0) for key in KEYS).values())
    first.close()
    holder = "import sys, rocksdict; d = rocksdict.Rdict(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as older:
        assert older.stdout is not None
        assert older.stdout.readline() == "held\n"
        with pytest.raises(Retry, match="in use by another process"):
            EntryStore(folder)
        older.communicate()
    pending = EntryStore(folder)
    assert pending.positions() == POSITIONS
    pending.close()


def test_a_judge_that_cannot_have_one_of_its_folders_lets_go_of_the_others(folder: Path) -> None:
    settings = parse_settings({"namespace": "n"}, Path("shadow.toml"), {})
    comparators = {"s": make_comparator("classification", {})}

    def judge() -> JudgeStage:
        return JudgeStage(
            frozenset({0, 1}), settings=settings, comparators=comparators, folder=folder.parent, worker="w"
        )

    other = EntryStore(folder.with_name("1"))
    with pytest.raises(Retry, match="1 is still in use by another process"):
        judge()
    other.close()
    judge().close()
