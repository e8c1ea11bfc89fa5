"""Kafka for this project: clients, topics, rights, groups; `worker/` runs stages exactly once, `read/` reads topics."""
