"""Rekey: records of other topics, moved to where their request id belongs. Off unless the settings ask for it."""
