"""Verbs that run stages: one worker, all of them, or the same stages over files."""
