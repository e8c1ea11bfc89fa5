"""Comparisons and outcomes folded into partials, partials merged into aggregates."""
