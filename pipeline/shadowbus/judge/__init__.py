"""Judge: comparisons are joined with their labels, which gives outcomes."""
