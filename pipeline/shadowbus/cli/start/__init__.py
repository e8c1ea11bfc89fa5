"""Verbs for the first day: a demo, a broker, topics, settings, a model bundle."""
