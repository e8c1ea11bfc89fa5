"""The worker's side of the model's pipes: it never waits to write, and takes nothing for an answer that is none."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from shadowbus.replay.model.forked_worker import READ_AHEAD_BYTES, ForkedWorker
from shadowbus.replay.model.pipe import PIPE_BYTES, Pipe, make_pipes

LARGE = 3 * PIPE_BYTES + 7
SECONDS = 30.0
ROWS = 10


@contextmanager
def model(behaves: Callable[[Pipe], None]) -> Iterator[ForkedWorker]:
    """A worker whose model is a thread at the other end of real pipes."""
    here, there = make_pipes()
    worker = ForkedWorker(here, os.getpid())
    thread = threading.Thread(target=behaves, args=(there,))
    thread.start()
    try:
        yield worker
    finally:
        worker.close()
        thread.join(SECONDS)
        assert not thread.is_alive()


def echo(pipe: Pipe) -> None:
    """Answer each question with itself, backwards."""
    try:
        while (question := pipe.receive()) is not None:
            pipe.send(question[0], question[1][::-1])
    except OSError:
        pass
    finally:
        pipe.close()


@pytest.mark.parametrize("size", [0, 1, 4_096, PIPE_BYTES, LARGE])
def test_many_questions_at_once_are_answered_in_their_order_whatever_their_size(size: int) -> None:
    questions = [b"%d" % number + b"x" * size for number in range(6)]
    with model(echo) as worker:
        for question in questions:
            worker.ask(question, ROWS)  # both pipes are full now, and this side still does not wait
        answers = [worker.next_answer(SECONDS) for _ in questions]
        assert worker.next_answer(0) is None
        assert not worker.gone
    assert answers == [question[::-1] for question in questions]
    assert worker.answered == len(questions)


def test_an_answer_that_does_not_come_is_waited_for_so_long_and_no_longer() -> None:
    over = threading.Event()

    def silent(pipe: Pipe) -> None:
        pipe.receive()
        over.wait(SECONDS)
        pipe.close()

    with model(silent) as worker:
        worker.ask(b"anybody there?", ROWS)
        assert worker.next_answer(0.05) is None
        assert (worker.gone, bool(worker.garbled)) == (False, False)
        over.set()
        assert worker.next_answer(SECONDS) is None  # it is gone, which is known long before the time is over
        assert (worker.gone, bool(worker.garbled)) == (True, False)


def test_what_was_answered_before_the_end_is_heard_and_half_an_answer_is_none() -> None:
    def dies(pipe: Pipe) -> None:
        first, second = pipe.receive(), pipe.receive()
        assert first is not None
        assert second is not None
        pipe.send(first[0], b"one")
        os.write(pipe.writing, second[0].to_bytes(8, "big") + (1_000).to_bytes(4, "big") + b"half")
        pipe.close()

    with model(dies) as worker:
        worker.ask(b"1", ROWS)
        worker.ask(b"2", ROWS)
        assert [worker.next_answer(SECONDS), worker.next_answer(SECONDS)] == [b"one", None]
        assert (worker.gone, bool(worker.garbled), worker.answered) == (True, False, 1)


def test_bytes_that_a_model_writes_by_itself_are_no_answer_and_end_it() -> None:
    def chatters(pipe: Pipe) -> None:
        question = pipe.receive()
        assert question is not None
        os.write(pipe.writing, b"hello, this is your model speaking")
        pipe.close()

    with model(chatters) as worker:
        worker.ask(b"?", ROWS)
        assert worker.next_answer(SECONDS) is None
        assert (worker.gone, bool(worker.garbled), worker.answered) == (True, True, 0)


def test_an_answer_to_an_older_question_is_not_taken_for_the_one_that_is_due() -> None:
    def twice(pipe: Pipe) -> None:
        question = pipe.receive()
        assert question is not None
        pipe.send(question[0], b"first")
        with contextlib.suppress(OSError):  # the number is enough for the other side to let go, before the rest
            pipe.send(question[0], b"again")
        pipe.close()

    with model(twice) as worker:
        worker.ask(b"?", ROWS)
        assert worker.next_answer(SECONDS) == b"first"
        assert worker.next_answer(SECONDS) is None
        assert worker.garbled


def test_an_answer_that_is_said_to_be_longer_than_any_is_not_waited_for() -> None:
    def boasts(pipe: Pipe) -> None:
        question = pipe.receive()
        assert question is not None
        os.write(pipe.writing, question[0].to_bytes(8, "big") + (2**32 - 1).to_bytes(4, "big"))
        pipe.receive()
        pipe.close()

    with model(boasts) as worker:
        worker.ask(b"?", ROWS)
        assert worker.next_answer(SECONDS) is None
        assert "4,294,967,295 bytes" in worker.garbled


def test_what_nobody_asks_for_is_not_read_without_end() -> None:
    written = 0

    def floods(pipe: Pipe) -> None:
        nonlocal written
        with contextlib.suppress(OSError):
            while True:
                written += os.write(pipe.writing, bytes(PIPE_BYTES))
        pipe.close()

    with model(floods) as worker:
        deadline = time.monotonic() + SECONDS
        while worker.move() and not worker.garbled and time.monotonic() < deadline:
            pass
        for _ in range(200):
            worker.move()
        assert written <= READ_AHEAD_BYTES + 3 * PIPE_BYTES


def test_an_answer_that_drips_has_no_more_time_than_one_that_does_not_come() -> None:
    over = threading.Event()

    def drips(pipe: Pipe) -> None:
        question = pipe.receive()
        assert question is not None
        os.write(pipe.writing, question[0].to_bytes(8, "big") + (1_000_000).to_bytes(4, "big"))
        with contextlib.suppress(OSError):
            while not over.wait(0.0005):
                os.write(pipe.writing, b".")
        pipe.close()

    with model(drips) as worker:
        worker.ask(b"?", ROWS)
        started = time.monotonic()
        assert worker.next_answer(0.2) is None
        assert time.monotonic() - started < SECONDS / 2
        over.set()
