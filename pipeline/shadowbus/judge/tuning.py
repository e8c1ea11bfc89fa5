"""How RocksDB is set up for the judge: many small entries, most ids that are asked for new, or not touched for days."""

from rocksdict import BlockBasedOptions, Options, ReadOptions

MEMORY_TABLE = 64 << 20
"""Bytes that are gathered before they become a file; there may be three of these for each partition."""


def tuned() -> Options:
    """The options of a store."""
    table = BlockBasedOptions()
    table.set_bloom_filter(10, False)  # most ids that are asked for are new
    options = Options(raw_mode=True)
    options.set_max_open_files(256)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(MEMORY_TABLE)
    options.set_max_write_buffer_number(3)
    options.set_memtable_prefix_bloom_ratio(0.05)  # and there too
    options.set_memtable_whole_key_filtering(True)
    return options


def scanning() -> ReadOptions:
    """How to read one entry after the other without driving out what is asked for by id."""
    options = ReadOptions()
    options.fill_cache(False)  # type: ignore[call-arg]
    return options
