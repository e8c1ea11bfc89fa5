"""The files of a backtest as batches of rows: CSV, JSON lines and Parquet."""
