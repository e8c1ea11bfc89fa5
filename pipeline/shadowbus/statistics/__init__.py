"""Exact and mergeable statistics: sums, moments, quantiles, tables, histograms. They know nothing of trials."""
