"""What workers show to Prometheus: numbers counted per batch, and trials as they were published."""
