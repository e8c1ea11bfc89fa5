"""Totals as the numbers that people read: docs/metrics.md says what each is."""
