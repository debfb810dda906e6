"""The first admin key and the pepper, where several gateways share them by settings."""

import asyncio
import os
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, update

from services.gateway import app as gateway
from services.gateway.access.domain import generate, is_strong, text_of
from services.gateway.access.first_start import ensure_admin, pepper, seed_admin
from services.gateway.access.store import api_keys
from services.gateway.keyring import Keyring
from shared.database import Database, DatabaseUnavailable
from tests.conftest import MakeDatabase, MovingClock

SEED = SecretStr(text_of(generate()))
PEPPER = SecretStr("ab" * 32)


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database(gateway.NAME, gateway.MIGRATIONS)


@pytest.fixture
def keyring(db: Database, tmp_path: Path, clock: MovingClock) -> Keyring:
    return Keyring(db, pepper(tmp_path, PEPPER), clock)


async def count(db: Database) -> int:
    async with db.read() as conn:
        return (await conn.execute(select(func.count()).select_from(api_keys))).scalar_one()


async def opened_by_seed(keyring: Keyring) -> bool:
    await keyring.reload()
    return keyring.principal(SEED.get_secret_value()) is not None


async def test_the_stated_key_becomes_the_first_admin_key(keyring: Keyring, tmp_path: Path) -> None:
    await ensure_admin(keyring, tmp_path, SEED)
    await keyring.reload()
    principal = keyring.principal(SEED.get_secret_value())
    assert principal is not None
    assert principal.may("admin")
    assert "admin.key" not in os.listdir(tmp_path)


async def test_of_several_gateways_one_makes_it(
    db: Database, keyring: Keyring, tmp_path: Path, clock: MovingClock
) -> None:
    others = [Keyring(db, pepper(tmp_path, PEPPER), clock) for _ in range(3)]
    assert await asyncio.gather(*(seed_admin(one, SEED) for one in (keyring, *others)))
    assert await count(db) == 1
    for one in others:
        assert await opened_by_seed(one)


async def test_where_an_admin_is_there_the_stated_key_is_not_taken(
    keyring: Keyring, tmp_path: Path
) -> None:
    await ensure_admin(keyring, tmp_path)
    assert await seed_admin(keyring, SEED)
    assert not await opened_by_seed(keyring)


async def test_a_revoked_key_is_never_taken_again(
    db: Database, keyring: Keyring, clock: MovingClock
) -> None:
    assert await seed_admin(keyring, SEED)
    async with db.begin() as conn:
        await conn.execute(update(api_keys).values(revoked_at=clock(), revoked_by="tester"))
    assert not await seed_admin(keyring, SEED)
    assert not await opened_by_seed(keyring)


async def test_without_an_admin_and_a_stated_key_there_is_none(keyring: Keyring) -> None:
    assert not await seed_admin(keyring, None)
    assert await count(keyring.db) == 0


@pytest.mark.parametrize(
    "weak", ["admin", "gs_admin_admin", f"gs_{'0' * 10}_{'a' * 43}", "xx_0123456789_" + "ab1" * 20]
)
def test_a_key_that_could_be_guessed_is_no_key(weak: str) -> None:
    assert not is_strong(weak)
    assert is_strong(SEED.get_secret_value())


def test_a_stated_pepper_leaves_the_folder_alone(tmp_path: Path) -> None:
    assert pepper(tmp_path, PEPPER) == bytes.fromhex("ab" * 32)
    assert list(tmp_path.iterdir()) == []
    assert pepper(tmp_path) == pepper(tmp_path) != pepper(tmp_path, PEPPER)


async def test_keys_outlive_an_outage_of_the_database_and_are_true_again_after_it(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    await seed_admin(keyring, SEED)
    await keyring.keep_up()

    async def away() -> None:
        raise DatabaseUnavailable(None, None, OSError("away"))

    with monkeypatch.context() as outage:
        outage.setattr(keyring, "reload", away)
        await keyring.keep_up()
        assert keyring.principal(SEED.get_secret_value()) is not None
    async with keyring.db.begin() as conn:
        await conn.execute(update(api_keys).values(revoked_at=keyring.clock()))
    await keyring.keep_up()
    assert keyring.principal(SEED.get_secret_value()) is None
