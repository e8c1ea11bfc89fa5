"""Verbs that only read: verdicts, status, comparisons, reports. None changes anything in Kafka."""
