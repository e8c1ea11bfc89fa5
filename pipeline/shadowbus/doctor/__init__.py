"""Doctor: what is wrong before and during operation, how it was seen, and what to do about it."""
