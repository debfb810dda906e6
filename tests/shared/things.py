"""A table for tests of the database itself."""

from sqlalchemy import Column, Double, Integer, LargeBinary, MetaData, Table, Text

from shared.database import Json, Serial, UtcDateTime

metadata = MetaData()
things = Table(
    "things",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("name", Text, unique=True),
    Column("count", Integer, nullable=False, default=0),
    Column("weight", Double),
    Column("at", UtcDateTime),
    Column("data", Json),
    Column("bytes", LargeBinary),
)
