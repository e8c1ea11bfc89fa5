"""What a backtest's stages hand on to each other."""

from pathlib import Path

from shadowbus.backtest.flow import Flow
from shadowbus.backtest.judging import JudgeHere
from shadowbus.backtest.results import Folder
from shadowbus.settings import Settings
from shadowbus.stage import Outputs


class Resting:
    """A replay that has nothing under way but a piece of work that came to no comparison."""

    def drain(self, now_ms: int) -> Outputs:
        return Outputs(records={"comparisons": [], "dead-letters": []})

    def close(self) -> None: ...


def test_a_piece_of_work_that_came_to_nothing_is_passed_over(tmp_path: Path) -> None:
    settings = Settings("t", partitions=1)
    judge = JudgeHere(settings, (), tmp_path / "waiting")
    with Folder(tmp_path / "out", "t") as folder:
        flow = Flow(settings, [Resting()], judge, folder)  # type: ignore[list-item]
        flow.drain(1_000)
    judge.close()
    assert not flow.made
