"""From aggregates to PROMOTE, SEND BACK or KEEP WATCHING."""
