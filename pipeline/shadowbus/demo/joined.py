"""Whether every stage has joined its consumer group, as Kafka says."""

from shadowbus.cli.read.overview import group_name
from shadowbus.clock import Deadline
from shadowbus.demo.patience import Patience
from shadowbus.kafka.groups import group_states
from shadowbus.settings import Settings
from shadowbus.topology import STAGES

ASK_S = 30.0


class Joined:
    """A condition to wait for. Kafka is asked beside, for it may take its time to answer."""

    def __init__(self, settings: Settings, patience: Patience) -> None:
        self._settings = settings
        self._patience = patience
        self._groups: dict[str, list[str]] = {}
        for stage in STAGES:
            if stage.reads:
                for shadow in [one.name for one in settings.shadow] if stage.per_shadow else [""]:
                    topics = [f"{settings.namespace}.{name}" for name in stage.reads]
                    self._groups[group_name(stage, settings.namespace, shadow)] = topics
        self._asked = patience.beside(self._all_stable, "groups")

    def __call__(self) -> bool:
        """Whether they all have, as of the newest answer."""
        if not self._asked.done():
            return False
        if self._asked.result():
            return True
        self._asked = self._patience.beside(self._all_stable, "groups")
        return False

    def _all_stable(self) -> bool:
        states, _ = group_states(self._settings, self._groups, Deadline.after(ASK_S))
        return all(state.members and state.state == "STABLE" for state in states.values())
