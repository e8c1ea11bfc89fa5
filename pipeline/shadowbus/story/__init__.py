"""From aggregates and verdicts to what a person is told: the same story for the page and for the report. Pure.

In this order: may I promote? why, or why not? is anything wrong with the harness? where do they differ? Numbers are
formatted once, here, with their unit and what is still possible.
"""
