"""The pair shard: an HDF5 file of picture pairs, its writer and reader, and sets of such files.

This is the place to import from; each part has a file of its own. docs/shards.md describes the file field by field.
"""

from humanpt.data.pairset import PairSet, find_shards
from humanpt.data.records import (
    COLUMNS,
    KINDS,
    MASK_KINDS,
    MASK_SIZE,
    SCHEMA,
    SCHEMA_VERSION,
    SIDES,
    Kind,
    PairRecord,
    Picture,
    Source,
    Truth,
    TruthLayout,
)
from humanpt.data.shard_reader import ShardCheck, ShardReader, verify
from humanpt.data.shard_writer import ShardWriter

__all__ = [
    "COLUMNS",
    "KINDS",
    "MASK_KINDS",
    "MASK_SIZE",
    "SCHEMA",
    "SCHEMA_VERSION",
    "SIDES",
    "Kind",
    "PairRecord",
    "PairSet",
    "Picture",
    "ShardCheck",
    "ShardReader",
    "ShardWriter",
    "Source",
    "Truth",
    "TruthLayout",
    "find_shards",
    "verify",
]
