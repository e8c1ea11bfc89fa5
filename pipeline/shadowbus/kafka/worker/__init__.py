"""Runs a stage exactly once: `loop` has the steps, the other files its parts."""
