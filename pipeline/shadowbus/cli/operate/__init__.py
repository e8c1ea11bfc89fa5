"""Verbs for whoever keeps the pipeline running: what is wrong, which rights it needs, how it flows."""
