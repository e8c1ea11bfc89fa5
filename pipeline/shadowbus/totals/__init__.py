"""What is counted of a trial: cumulative totals that merge by `+`, what they are of, and on what terms they count."""
