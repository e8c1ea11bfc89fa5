"""In-memory stand-ins for unit tests; never for Kafka."""
