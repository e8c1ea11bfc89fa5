"""May the new model replace the old one? Shadow evaluation on Kafka, exactly once, with an honest verdict.

The flow, a line for each stage:

    capture    publishes what production was asked and answered
    rekey      moves records to where their request id belongs
    replay     asks the shadow the same, and joins the two answers
    judge      joins comparisons with their labels
    aggregate  folds them into running totals
    decide     decides on each trial
    agents     merges partitions for people and dashboards

`topology.py` has it as data, `records/` what travels. From outside: `capture.Tap` in a service, `reading` for the
topics with types, and everything else through the command line, `shadowbus`.
"""
