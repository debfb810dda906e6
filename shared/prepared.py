"""Statements of the hot roads, made ready once for each engine and said to the driver itself.

SQLAlchemy's own way from a statement to its rows costs several times what SQLite needs to run it.
Such a statement is written with SQLAlchemy all the same, so that one text serves both engines.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Dialect, Executable, Float, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.keys import packed

Values = Mapping[str, Any]
"""What a statement's parameters hold, by name. The same names each time."""

Processor = Callable[[Any], Any] | None


class Prepared:
    """A statement that is said often, in transactions of `Database.write`; elsewhere it works as well.

    Its lists of values are `shared.keys.one_of`: what expands with its values can't be prepared.
    """

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._ready: dict[str, _Ready] = {}

    async def rows(self, conn: AsyncConnection, values: Values) -> Sequence[Any]:
        """Its rows, with the columns as attributes. Raises what SQLAlchemy raises."""
        driver = getattr(conn, "driver", None)
        if driver is None:
            return (await conn.execute(self._statement, values)).all()
        ready = self._for(conn.dialect, values)
        return ready.read(await driver.fetch(ready.text, ready.placed(values)))

    async def of(self, conn: AsyncConnection, keys: Iterable[str], **values: Any) -> Sequence[Any]:
        """Its rows for these values of the one column of its `one_of`; for none nothing is asked."""
        wanted = [(key,) for key in sorted(set(keys))]
        return await self.rows(conn, {"keys": packed(wanted), **values}) if wanted else []

    async def many(self, conn: AsyncConnection, values: Sequence[Values]) -> None:
        """Run it once with each of these, if any. Raises what SQLAlchemy raises."""
        if not values:
            return
        driver = getattr(conn, "driver", None)
        if driver is None:
            await conn.execute(self._statement, values)
            return
        ready = self._for(conn.dialect, values[0])
        await driver.run_many(ready.text, [ready.placed(one) for one in values])

    def _for(self, dialect: Dialect, values: Values) -> "_Ready":
        ready = self._ready.get(dialect.name)
        if ready is None:
            ready = self._ready[dialect.name] = _Ready(self._statement, dialect, list(values))
        return ready


class Upsert:
    """Enters rows of a table; of those it has already, by the columns `known_by`, all else is replaced.

    Save what is `kept`; and where `if_so`, given the new row, doesn't hold, all stays as it is.
    """

    def __init__(
        self,
        table: Table,
        *known_by: str,
        kept: Sequence[str] = (),
        if_so: Callable[[Any], Any] | None = None,
    ) -> None:
        def said(insert: Any) -> Prepared:
            new = insert.excluded
            changed = {c.name: new[c.name] for c in table.c if c.name not in {*known_by, *kept}}
            where = None if if_so is None else if_so(new)
            return Prepared(
                insert.on_conflict_do_update(index_elements=known_by, set_=changed, where=where)
            )

        self._by_engine = {
            "sqlite": said(sqlite.insert(table)),
            "postgresql": said(postgresql.insert(table)),
        }

    async def many(self, conn: AsyncConnection, values: Sequence[Values]) -> None:
        """Enter these, if any, each with the same columns. Raises what SQLAlchemy raises."""
        await self._by_engine[conn.dialect.name].many(conn, values)


class _Ready:
    """The statement in an engine's words."""

    def __init__(self, statement: Any, dialect: Dialect, names: list[str]) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=names, for_executemany=True)
        self.text = str(compiled)
        types = {name: bound.type for bound, name in compiled.bind_names.items()}
        self._constants = {name: compiled.params[name] for name in types.keys() - names}
        self._places: list[tuple[str, Processor]] = [
            (name, types[name].dialect_impl(dialect).bind_processor(dialect))
            for name in compiled.positiontup
        ]
        columns = [*getattr(statement, "exported_columns", ())]  # also those of RETURNING
        fields: list[Any] = [(column.key, Any) for column in columns]
        self._row: Any = NamedTuple("Row", fields)
        self._processors: list[tuple[int, Callable[[Any], Any]]] = [
            (index, processor)
            for index, column in enumerate(columns)
            if not isinstance(column.type, Float)  # both drivers read these themselves
            and (processor := column.type.dialect_impl(dialect).result_processor(dialect, None))
        ]

    def placed(self, values: Values) -> list[Any]:
        """The values in the order of their places, as the driver takes them."""
        if self._constants:
            values = {**self._constants, **values}
        return [
            process(values[name]) if process else values[name] for name, process in self._places
        ]

    def read(self, found: Iterable[Any]) -> list[Any]:
        """The driver's rows as ours."""
        if not self._processors:
            return [self._row._make(one) for one in found]
        rows: list[Any] = []
        for one in found:
            row = list(one)
            for index, process in self._processors:
                row[index] = process(row[index])
            rows.append(self._row._make(row))
        return rows
