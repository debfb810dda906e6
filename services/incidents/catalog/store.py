"""The tables `services` and `service_names`. Load and save a catalog entry."""

from collections.abc import Iterable

from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.incidents.catalog.domain import Service
from services.incidents.metadata import metadata
from shared.database import Json, insert_into
from shared.keys import one_of
from shared.prepared import Prepared
from shared.refusals import Conflict

services = Table(
    "services",
    metadata,
    Column("name", Text, primary_key=True),
    Column("product", Text, nullable=False, index=True),
    Column("owner", Text),
    Column("tier", Integer, nullable=False),
    Column("dependencies", Json, nullable=False),
    Column("aliases", Json, nullable=False),
    Column("version", Integer, nullable=False),
)

service_names = Table(
    "service_names",
    metadata,
    Column("claimed", Text, primary_key=True),
    Column("name", Text, ForeignKey("services.name"), nullable=False, index=True),
)
"""Every name a sender may use, the own name and the aliases, and the entry it means."""


async def load(conn: AsyncConnection, name: str) -> Service | None:
    row = (await conn.execute(select(services).where(services.c.name == name))).one_or_none()
    if row is None:
        return None
    return Service(
        name=row.name,
        product=row.product,
        owner=row.owner,
        tier=row.tier,
        dependencies=tuple(row.dependencies),
        aliases=tuple(row.aliases),
        version=row.version,
    )


_RESOLVE = Prepared(
    select(service_names.c.claimed, services)
    .join(services, services.c.name == service_names.c.name)
    .where(one_of(service_names.c.claimed))
)


async def resolve(conn: AsyncConnection, claimed: Iterable[str | None]) -> dict[str, Service]:
    """The entries that these claimed names mean, where one is claimed; unknown names are absent."""
    found: dict[str, Service] = {}
    for row in await _RESOLVE.of(conn, (name for name in claimed if name)):
        found[row.claimed] = Service(
            row.name,
            row.product,
            row.owner,
            row.tier,
            tuple(row.dependencies),
            tuple(row.aliases),
            row.version,
        )
    return found


async def save(conn: AsyncConnection, entry: Service, *, was: int | None) -> None:
    """Write the entry and its names. `was` is the version it was loaded with, None for a new one.

    Raises Conflict when somebody else changed it meanwhile. An alias that another entry holds moves.
    """
    values = {
        "name": entry.name,
        "product": entry.product,
        "owner": entry.owner,
        "tier": entry.tier,
        "dependencies": list(entry.dependencies),
        "aliases": list(entry.aliases),
        "version": entry.version,
    }
    if was is None:
        await conn.execute(insert(services).values(values))
    else:
        query = update(services).where(services.c.name == entry.name, services.c.version == was)
        if (await conn.execute(query.values(values))).rowcount != 1:
            raise Conflict(
                f"Service {entry.name!r} was changed meanwhile; read it again and retry."
            )
    await conn.execute(delete(service_names).where(service_names.c.name == entry.name))
    upsert = insert_into(conn, service_names)
    await conn.execute(
        upsert.on_conflict_do_update(
            index_elements=["claimed"], set_={"name": upsert.excluded.name}
        ),
        [{"claimed": claimed, "name": entry.name} for claimed in {entry.name, *entry.aliases}],
    )
