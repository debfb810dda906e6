"""A real broker that asks who calls and what that user may do, given the rights of the manifests.

Users log in by a password that is their name, since the rights are what is looked at here.
"""

import base64
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from shared.bus.kafka import KafkaBus
from shared.bus.kafka_client import KafkaOptions
from tests.deploy.rendering import Manifest, at
from tests.engines.kafka_broker import JVM, fetch, jars_folder
from tests.engines.postgres import free_port

ADMIN = "admin"
START_SECONDS = 90
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=CLIENTS://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENTS://127.0.0.1:{port}
inter.broker.listener.name=CLIENTS
listener.security.protocol.map=CLIENTS:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.clients.plain.sasl.jaas.config={login}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{admin};User:ANONYMOUS
log.dirs={data}/log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=8388608
"""
"""The controller's own connections, on the loopback, are ANONYMOUS."""


@contextmanager
def guarded(data: Path, users: list[Manifest]) -> Generator[str]:
    """Run a broker in this folder, with the users of these KafkaUsers. Yields its address.

    Raises NoBroker, with what to install, where there is no Java or Maven.
    """
    classpath = f"{fetch(jars_folder())}/*"
    port, configuration = free_port(), data / "server.properties"
    names = [ADMIN, *(user["metadata"]["name"] for user in users)]
    configuration.write_text(
        PROPERTIES.format(
            port=port, controller=free_port(), data=data, admin=ADMIN, login=_login(names)
        )
    )
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
    java = ["java", *JVM, "-cp", classpath]
    subprocess.run(
        [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", configuration],
        check=True,
        capture_output=True,
        timeout=START_SECONDS,
    )
    with open(data / "broker.log", "ab") as log:
        broker = subprocess.Popen(
            [*java, "kafka.Kafka", configuration], stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_for(broker, port, data / "broker.log")
        servers = f"127.0.0.1:{port}"
        _grant(servers, users)
        yield servers
    finally:
        broker.send_signal(signal.SIGKILL)
        broker.wait(START_SECONDS)


def bus_of(servers: str, user: str) -> KafkaBus:
    """The services' own bus, logged in as this user."""
    options = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_username": user,
        "sasl_password": user,
        "send_seconds": 15,
    }
    return KafkaBus(servers, KafkaOptions.model_validate(options))


def admin_of(servers: str, user: str = ADMIN) -> AdminClient:
    return AdminClient(
        {
            "bootstrap.servers": servers,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": user,
            "sasl.password": user,
        }
    )


def _login(names: list[str]) -> str:
    module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    known = " ".join(f'user_{name}="{name}"' for name in names)
    return f'{module} username="{ADMIN}" password="{ADMIN}" {known};'


def _wait_for(broker: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while broker.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:  # it binds its port only when it is ready
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"the broker did not come up:\n{log.read_text(errors='replace')[-2000:]}")


def _grant(servers: str, users: list[Manifest]) -> None:
    bindings = [_binding(user, acl["resource"], op) for user, acl, op in _rights(users)]
    admin = admin_of(servers)  # kept in hand: its answers end with it
    for granted in admin.create_acls(bindings).values():
        granted.result(30)


def _rights(users: list[Manifest]) -> Generator[tuple[str, dict[str, Any], str]]:
    for user in users:
        for acl in at(user, "spec.authorization.acls"):
            for operation in acl["operations"]:
                yield user["metadata"]["name"], acl, operation


def _binding(user: str, resource: dict[str, Any], operation: str) -> AclBinding:
    return AclBinding(
        ResourceType[resource["type"].upper()],
        resource["name"],
        ResourcePatternType[resource["patternType"].upper()],
        f"User:{user}",
        "*",
        AclOperation[operation.upper()],
        AclPermissionType.ALLOW,
    )
