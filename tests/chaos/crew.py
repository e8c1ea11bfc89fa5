"""The worker processes of a round: started, killed, put to sleep, and watched for ending by themselves."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil
from confluent_kafka.admin import AdminClient

from shadowbus.kafka.clients import make_admin
from shadowbus.kafka.worker.call_watchdog import EXIT_STATUS
from traffic import Stream

AGAIN_S = 1.0
"""After how long whoever started a worker starts it again, when that ended with "try again"."""

UNABLE = ("agents-0",)

MODEL_PROCESSES = 2
"""One keeps the model loaded, one predicts. A model that dies while it is loaded is for a person to look at."""

LEAVE_S = 40.0
"""A call into Kafka may take 20 s, and then the worker ends by itself."""


@dataclass
class Crew:
    """Workers by name.

    Args:
        stream: What they work on.
        arguments: What follows `shadowbus --config FILE`, by the worker's name.
    """

    stream: Stream
    arguments: Mapping[str, tuple[str, ...]]
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    asleep: set[str] = field(default_factory=set)
    leaving: dict[str, "tuple[subprocess.Popen[bytes], float]"] = field(default_factory=dict)
    again: dict[str, float] = field(default_factory=dict)
    orphans: list[psutil.Process] = field(default_factory=list)
    gave_up: int = 0
    began: float = field(default_factory=time.monotonic)

    def say(self, line: str) -> None:
        """One line of what happened, with when it did."""
        sys.stdout.write(f"{time.monotonic() - self.began:7.2f} s  {line}\n")
        sys.stdout.flush()

    def start(self, name: str) -> None:
        """Start a worker that does not run."""
        self.again.pop(name, None)
        if name in self.leaving and not self.see_off(name):
            self.again[name] = time.monotonic() + AGAIN_S
        elif name not in self.running:
            self.running[name] = self.stream.start(*self.arguments[name])
            self.say(f"start {name} ({self.running[name].pid})")

    add = start

    def kill(self, name: str) -> None:
        """`kill -9`, asleep or not."""
        if process := self.running.pop(name, None):
            self.asleep.discard(name)
            self.orphans += children_of(process)
            process.kill()
            process.wait()
            self.say(f"kill -9 {name} ({process.pid})")

    def remove(self, name: str) -> None:
        """Ask a worker to leave in order."""
        self.again.pop(name, None)
        if process := self.running.pop(name, None):
            self.wake_up(name, process)
            process.terminate()
            self.leaving[name] = (process, time.monotonic() + LEAVE_S)
            self.say(f"remove {name} ({process.pid})")

    def see_off(self, name: str) -> bool:
        """Whether a worker that was asked to leave is gone; it had better leave in order, and in time."""
        process, by = self.leaving[name]
        if process.poll() is None:
            assert time.monotonic() < by, f"{name} does not leave: {self.stream.logs()[-5000:]}"
            return False
        del self.leaving[name]
        self.say(f"{name} ({process.pid}) left with {process.returncode}")
        # One that is still being loaded has nothing to put in order; one may be about to ask for a new start.
        assert process.returncode in (0, -signal.SIGTERM, EXIT_STATUS), self.stream.logs()[-5000:]
        return True

    def sleep(self, name: str) -> None:
        """Stop a worker where it stands."""
        if process := self.running.get(name):
            process.send_signal(signal.SIGSTOP)
            self.asleep.add(name)
            self.say(f"put to sleep {name} ({process.pid})")

    def wake(self, name: str) -> None:
        """Let it go on where it stood."""
        if (process := self.running.get(name)) and name in self.asleep:
            self.wake_up(name, process)
            self.say(f"wake {name} ({process.pid})")

    def wake_up(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        self.asleep.discard(name)
        process.send_signal(signal.SIGCONT)

    def kill_model(self, name: str) -> None:
        """`kill -9` the process that predicts for a worker."""
        self._kill_child(name, -1)

    def kill_fork_server(self, name: str) -> None:
        """`kill -9` the process that keeps the model loaded; the one that predicts goes with it."""
        self._kill_child(name, 0)

    def _kill_child(self, name: str, which: int) -> None:
        if process := self.running.get(name):
            children = children_of(process)
            if len(children) != MODEL_PROCESSES:
                self.say(f"{name} ({process.pid}) is still loading its model, which is spared")
                return
            os.kill(children[which].pid, signal.SIGKILL)
            self.say(f"kill -9 {children[which].pid}, a model process of {name} ({process.pid})")

    def watch(self) -> None:
        """See whether a worker has ended by itself; one that asks to be started again is."""
        for name, process in list(self.running.items()):
            code = process.poll()
            if code is not None:
                del self.running[name]
                self.say(f"{name} ({process.pid}) ended by itself with {code}")
                # The agents end with a sentence when they lose Kafka: Faust does not come back by itself.
                assert code == EXIT_STATUS or (code == 1 and name in UNABLE), self.stream.logs()[-8000:]
                self.gave_up += 1
                self.again[name] = time.monotonic() + AGAIN_S
        for name in list(self.leaving):
            self.see_off(name)
        for name, at in list(self.again.items()):
            if time.monotonic() >= at:
                self.start(name)

    def wait_until_joined(self, seconds: float) -> None:
        """Until each group has as many members as there are workers, and has met."""
        admin, deadline = make_admin(self.stream.settings), time.monotonic() + seconds
        while True:
            found, wanted = self.members(admin), Counter(map(self.group_of, self.running))
            if found == wanted and not self.leaving and not self.again:
                break
            assert time.monotonic() < deadline, f"{found}, not {wanted}: {self.stream.logs()[-5000:]}"
            time.sleep(0.2)
            self.watch()
        self.say(f"everybody has joined: {dict(found)}")

    def members(self, admin: AdminClient) -> Counter[str]:
        """How many are in each group that is stable."""
        groups = admin.describe_consumer_groups(sorted({self.group_of(name) for name in self.arguments}))
        found = {group: future.result() for group, future in groups.items()}
        return +Counter({group: len(one.members) for group, one in found.items() if one.state.name == "STABLE"})

    def group_of(self, name: str) -> str:
        """The consumer group that a worker joins."""
        stage, *rest = self.arguments[name]
        shadow = f"{rest[1]}." if stage == "replay" else ""
        return self.stream.topic(f"{shadow}{stage}")

    def end(self) -> dict[str, int]:
        """Wake and end all; how each ended."""
        for name, process in self.running.items():
            self.wake_up(name, process)
            process.terminate()
        codes = {name: process.wait(LEAVE_S) for name, process in self.running.items()}
        self.running.clear()
        return codes

    def abandon(self) -> None:
        """Kill all, whatever the state."""
        for process in [*self.running.values(), *(process for process, _ in self.leaving.values())]:
            process.kill()
            process.wait()

    def left_behind(self) -> list[psutil.Process]:
        """Processes of killed workers that have outlived them, 20 s later."""
        _, alive = psutil.wait_procs(self.orphans, timeout=20)
        return list(alive)


def children_of(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """A worker's own processes; the model's fork server comes before the one that predicts."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
