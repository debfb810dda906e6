"""The tables of the roadmap service register here; each noun's `store.py` defines its own."""

from sqlalchemy import MetaData

metadata = MetaData()
