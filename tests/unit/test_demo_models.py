"""The demonstration's models are as good and as bad as it says, on rows that none of them has seen."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shadowbus.demo.crasher import EXIT_CODE, fate
from shadowbus.demo.digits import FEATURES, held_out, split
from shadowbus.demo.models import TrainedModels, train
from shadowbus.models.bundle import read_bundle
from shadowbus.models.load import load_model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedModels:
    return train(tmp_path_factory.mktemp("built"))


def test_one_challenger_is_clearly_better_and_one_clearly_worse(trained: TrainedModels) -> None:
    champion = trained.accuracy["champion"]
    assert 0.90 < champion < 0.94
    assert trained.accuracy["better"] > champion + 0.03
    assert trained.accuracy["worse"] < champion - 0.06
    assert trained.accuracy["crasher"] == pytest.approx(champion, abs=0.01)


def test_no_row_that_is_served_was_trained_on() -> None:
    training, serving, _, digits = split()
    assert len(training) == 600
    assert len(serving) == len(digits) == 1197
    assert not {row.tobytes() for row in training} & {row.tobytes() for row in serving}


def test_the_rows_to_serve_are_the_digits_pixels_by_name() -> None:
    rows = held_out()
    _, table, _, digits = split()
    assert rows.labels == digits.tolist()
    assert [[row[name] for name in FEATURES] for row in rows.features] == table.tolist()


def test_training_again_uses_the_bundles_that_are_there(trained: TrainedModels) -> None:
    out = trained.bundles["champion"].folder.parent.parent
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = train(out)
    assert again.accuracy == trained.accuracy
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_the_crasher_spares_all_but_about_one_row_in_a_hundred() -> None:
    fates = [fate(row) for row in np.random.default_rng(0).normal(size=(20_000, 8))]
    assert fates.count("hang") == pytest.approx(100, abs=40)
    assert fates.count("exit") == pytest.approx(100, abs=40)


def test_rows_to_serve_meet_both_fates() -> None:
    fates = [fate(row) for row in split()[1]]
    assert {"hang", "exit", None} == set(fates)
    assert sum(found is not None for found in fates) < len(fates) * 0.02


ASK = """
import sys
from pathlib import Path
from shadowbus.demo.crasher import fate
from shadowbus.demo.digits import split
from shadowbus.models.bundle import read_bundle
from shadowbus.models.load import load_model
model = load_model(read_bundle(Path(sys.argv[1])), allow_pickle=True)
row = next(row for row in split()[1].tolist() if str(fate(row)) == sys.argv[2])
print("asking", flush=True)
print(model.predict([row]).predictions)
"""


@pytest.mark.parametrize(("end", "code"), [("None", 0), ("exit", EXIT_CODE)])
def test_the_crasher_answers_or_ends_its_process(trained: TrainedModels, end: str, code: int) -> None:
    command = [sys.executable, "-c", ASK, str(trained.bundles["crasher"].folder), end]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("asking")
    assert done.returncode == code, done.stderr


def test_the_crasher_hangs_on_a_row_whose_fate_it_is(trained: TrainedModels) -> None:
    command = [sys.executable, "-c", ASK, str(trained.bundles["crasher"].folder), "hang"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asked:
        assert asked.stdout is not None
        assert asked.stdout.readline() == "asking\n"
        with pytest.raises(subprocess.TimeoutExpired):
            asked.wait(timeout=2)
        asked.kill()


def test_bundles_load_without_pickle_where_they_say_so(trained: TrainedModels) -> None:
    for name in ("champion", "better", "worse"):
        folder: Path = trained.bundles[name].folder
        assert load_model(read_bundle(folder), allow_pickle=False).model == f"{name}@1"
