"""Real Apache Kafka without an installation: brokers for the demo, for tests and for `shadowbus broker`."""
