"""Cells of text as typed values: numbers, times, lists and objects."""
