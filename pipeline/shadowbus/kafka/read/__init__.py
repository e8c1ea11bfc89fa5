"""Reads topics outside of the exactly-once loop: whole, from an offset, the newest records, or as they come."""
