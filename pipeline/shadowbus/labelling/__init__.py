"""Which comparisons to label: chosen by chance, with a probability that is known."""
