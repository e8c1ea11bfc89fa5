"""What capture does to the process it lives in: memory, exit, forks, imports. Each test in a fresh process."""

from fresh_process import run


def test_an_outage_takes_no_more_memory_than_was_allowed() -> None:
    (found,), _ = run("""
        def resident():
            with open("/proc/self/statm") as statm:
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        ask(tap, 10)
        before = resident()
        ask(tap, 200_000)
        counters = tap.counters()
        tell(grown=resident() - before, captured=counters.captured, full=counters.dropped["buffer_full"])
        """)
    assert found["captured"] + found["full"] == 2 * 200_010
    assert found["full"] > 0
    assert found["grown"] < 64 * 1024 * 1024


def test_a_process_without_kafka_ends_on_time_and_says_so_once() -> None:
    (found,), stderr = run("""
        import atexit
        ask(tap, 100)
        ended = time.monotonic()
        atexit._run_exitfuncs()
        tell(took=time.monotonic() - ended, unsent=tap.counters().dropped["unsent"], waiting=tap.counters().waiting)
        """)
    assert (found["unsent"], found["waiting"]) == (200, 0)
    assert found["took"] < 5  # flush_seconds is 0.2; without a bound it would be message.timeout.ms, 2 min
    assert len(stderr.splitlines()) == 1
    assert "Production is not affected" in stderr


def test_a_tap_that_only_its_users_still_know_is_closed_at_the_end_too() -> None:
    (found,), _ = run("""
        import atexit, gc
        ask(tap, 3)
        recorder = tap.recorder
        del tap
        gc.collect()
        atexit._run_exitfuncs()
        tell(unsent=recorder.tallies.dropped["unsent"].value)
        """)
    assert found == {"unsent": 6}


def test_a_forked_child_captures_with_ids_and_counters_of_its_own() -> None:
    found, _ = run("""
        ids = [ask(tap, 3).request_id]
        child = os.fork()
        if child == 0:
            before = tap.counters().captured
            mine = ask(tap, 2).request_id
            tell(before=before, captured=tap.counters().captured, id=mine)
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        ids.append(ask(tap, 1).request_id)
        tell(captured=tap.counters().captured, waiting=tap.counters().waiting, ids=ids)
        """)
    child, parent = found
    assert (child["before"], child["captured"]) == (0, 4)
    assert (parent["captured"], parent["waiting"]) == (8, 8)
    assert child["id"].split("-")[0] not in {name.split("-")[0] for name in parent["ids"]}


def test_a_child_that_captures_nothing_ends_without_touching_its_parents_producer() -> None:
    found, _ = run("""
        ask(tap, 3)
        child = os.fork()
        if child == 0:
            import gc
            del tap
            gc.collect()
            sys.exit(0)
        tell(child=os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        ask(tap, 1)
        tell(captured=tap.counters().captured)
        """)
    assert found == [{"child": 0}, {"captured": 8}]


def test_the_light_install_is_enough() -> None:
    (found,), _ = run("""
        tell(loaded=sorted({name.split(".")[0] for name in sys.modules} - sys.stdlib_module_names))
        """)
    assert set(found["loaded"]) <= {"__main__", "confluent_kafka", "orjson", "shadowbus", "typing_extensions"} | {
        name for name in found["loaded"] if name.startswith(("_", "sitecustomize", "distutils"))
    }
