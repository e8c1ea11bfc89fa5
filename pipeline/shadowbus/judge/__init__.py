"""Comparisons meet the labels: outcomes."""
