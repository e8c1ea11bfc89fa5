"""Decide: partials in, a verdict for each trial out."""
