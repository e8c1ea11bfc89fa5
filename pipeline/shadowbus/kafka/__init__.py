"""Kafka as this project uses it: the exactly-once loop, topics, a broker to embed."""
