"""Backtest: the stages in memory over files, with no Kafka."""
