"""Where a worker stands in each of its inputs."""

from dataclasses import dataclass, field

from shadowbus.stage import Input


@dataclass(slots=True)
class Progress:
    """Where each input stands. Offsets only grow."""

    next: dict[Input, int] = field(default_factory=dict)  # the next record to take
    covered: dict[Input, int] = field(default_factory=dict)  # produced up to here
    committed: dict[Input, int] = field(default_factory=dict)
    ends: dict[Input, int] = field(default_factory=dict)  # inputs read to their end, and where that was

    def uncommitted(self) -> dict[Input, int]:
        """The positions a commit has to carry; at the end of an input, past the transaction markers behind it."""
        target = dict(self.covered)
        for key, end in self.ends.items():
            if target.get(key) == self.next.get(key) and end > target.get(key, end):
                target[key] = end
        return {key: offset for key, offset in target.items() if offset > self.committed.get(key, -1)}
