"""Tells people when a verdict changes: once, also after a crash."""
