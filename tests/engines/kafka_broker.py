"""A real Apache Kafka broker on this machine: one node, no Docker, no root. Needs Java and Maven.

    python -m tests.engines.kafka_broker start|stop|kill|pause|resume --data DIR --port N

Its files are fetched once into `--jars` (or `KAFKA_JARS`, or `build/kafka` of the project). A broker
that is started again on the same data goes on with it. The port after N is the controller's.
"""

import argparse
import base64
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

VERSION = "4.3.1"
LOGGING = "2.25.5"
"""Kafka brings its logging library, and none of the bindings that would make it speak."""

START_SECONDS = 60.0
STOP_SECONDS = 20.0
FETCH_SECONDS = 300.0

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>groundswell</groupId><artifactId>kafka-for-tests</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
      <version>{LOGGING}</version>
    </dependency>
  </dependencies>
</project>
"""

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={data}/log
auto.create.topics.enable=false
# one node: one copy of everything
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# tests don't wait: members come and go at once, sessions may be short, a killed broker is back soon
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
# small
log.cleaner.dedupe.buffer.size=8388608
num.network.threads=2
num.io.threads=4
background.threads=2
"""

SECURED = """\
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL
inter.broker.listener.name=PLAINTEXT
listener.name.secured.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secured.scram-sha-512.sasl.jaas.config={login} required;
listener.name.secured.ssl.keystore.type=PKCS12
listener.name.secured.ssl.keystore.location={data}/broker.p12
listener.name.secured.ssl.keystore.password={password}
"""
LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"
USER, PASSWORD = "groundswell", "only-for-tests"
"""Who may log in at the secured port, with SCRAM-SHA-512."""

JVM = (
    "-Xms64m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.apache.logging.log4j.level=WARN",
)


class NoBroker(Exception):
    """A broker can't be had here; says what to do about it."""


@dataclass
class Broker:
    """One broker: a folder, a port, and the process that its pid file names."""

    data: Path
    port: int
    jars: Path
    secured_port: int | None = None
    """Where it listens with TLS and a login as well; `authority` is what signed its certificate."""
    _process: subprocess.Popen[bytes] | None = None
    """Of a broker that this process started: to be reaped."""

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it answers, at once when it did already.

        Raises NoBroker, with the end of its log, when it won't.
        """
        if self._pid() and self._answers():
            return
        classpath = f"{fetch(self.jars)}/*"
        self.data.mkdir(parents=True, exist_ok=True)
        configuration = self._configure()
        if not (self.data / "log" / "meta.properties").exists():
            self._format(classpath, configuration)
        deadline = time.monotonic() + START_SECONDS
        while not self._came_up(self._spawn(classpath, configuration), deadline):
            if time.monotonic() > deadline - START_SECONDS / 2:
                self.kill()
                raise NoBroker(f"The broker does not come up; the end of its log:\n{self._tail()}")
            time.sleep(0.5)  # the sockets of one that was killed linger for a moment

    def _came_up(self, process: subprocess.Popen[bytes], deadline: float) -> bool:
        while process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return True
            time.sleep(0.05)
        return False

    @property
    def authority(self) -> Path:
        return self.data / "broker.pem"

    def _configure(self) -> Path:
        text = PROPERTIES.format(port=self.port, controller=self.port + 1, data=self.data)
        if self.secured_port:
            here = f",SECURED://127.0.0.1:{self.secured_port}"
            lines = [
                line + here if line.startswith(("listeners=", "advertised.listeners=")) else line
                for line in text.splitlines()
            ]
            secured = SECURED.format(data=self.data, login=LOGIN, password=PASSWORD)
            text = "\n".join(lines) + "\n" + secured
            if not self.authority.exists():
                self._certify()
        configuration = self.data / "server.properties"
        configuration.write_text(text)
        return configuration

    def _certify(self) -> None:
        keys = ["-keystore", str(self.data / "broker.p12"), "-storepass", PASSWORD]
        named = ["keytool", "-alias", "broker", *keys]
        makes = ["-genkeypair", "-keyalg", "RSA", "-storetype", "PKCS12", "-dname", "CN=broker"]
        purpose = "make the broker's certificate"
        _run([*named, *makes, "-ext", "SAN=ip:127.0.0.1"], START_SECONDS, purpose)
        exports = ["-exportcert", "-rfc", "-file", str(self.authority)]
        _run([*named, *exports], START_SECONDS, purpose)

    def _format(self, classpath: str, configuration: Path) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = ["java", *JVM, "-cp", classpath, "kafka.tools.StorageTool", "format"]
        # One that starts with a dash would be an option.
        arguments = ["-t", cluster.replace("-", "A"), "-c", str(configuration)]
        if self.secured_port:
            arguments += ["--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"]
        _run([*tool, *arguments], START_SECONDS, "format the broker's folder")

    def _spawn(self, classpath: str, configuration: Path) -> subprocess.Popen[bytes]:
        with open(self.data / "broker.log", "ab") as log:
            process = subprocess.Popen(
                ["java", *JVM, "-cp", classpath, "kafka.Kafka", str(configuration)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._pid_file.write_text(str(process.pid))
        self._process = process
        return process

    def _answers(self) -> bool:
        # It binds its port only when it is ready.
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """Ask it to end, and make it when it doesn't."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        if not self._ended(STOP_SECONDS):
            self.kill()

    def kill(self) -> None:
        """SIGKILL: what it acknowledged must be there when it is started again."""
        self._signal(signal.SIGKILL)
        if not self._ended(STOP_SECONDS):
            raise NoBroker(f"process {self._pid()} outlives SIGKILL")

    def pause(self) -> None:
        """SIGSTOP: it holds its connections and says nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    @property
    def _pid_file(self) -> Path:
        return self.data / "broker.pid"

    def _pid(self) -> int | None:
        """Of the running process; None when there is none, or the number is another's by now."""
        try:
            pid = int(self._pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):
            return None
        return pid if b"kafka.Kafka" in command and state != "Z" else None

    def _signal(self, number: signal.Signals) -> None:
        if pid := self._pid():
            os.kill(pid, number)

    def _ended(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        if self._process is not None:
            self._process.wait()
        return True

    def _tail(self) -> str:
        return "\n".join((self.data / "broker.log").read_text(errors="replace").splitlines()[-15:])


def jars_folder() -> Path:
    """Where Kafka's files are kept between runs."""
    default = Path(__file__).parents[2] / "build" / "kafka"
    return Path(os.environ.get("KAFKA_JARS", default))


def fetch(folder: Path) -> Path:
    """The folder with Kafka's files, fetched by Maven when they aren't there yet."""
    for tool in ("java", "mvn"):
        if not shutil.which(tool):
            raise NoBroker(
                f"No {tool!r} here: install a Java runtime (17 or newer) and Maven, or set"
                " KAFKA_BOOTSTRAP to a broker that tests may write to."
            )
    libraries = folder / f"libs-{VERSION}"
    with _one_at_a_time(folder):
        if not libraries.exists():
            _fetch(folder, libraries)
    return libraries


def _fetch(folder: Path, libraries: Path) -> None:
    pom = folder / "pom.xml"
    pom.write_text(POM)
    partial = folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
    options = [f"-Dmaven.repo.local={folder}/repository", "-DincludeScope=runtime"]
    maven = ["mvn", "-B", "-q", "-f", str(pom), *options, plugin, f"-DoutputDirectory={partial}"]
    _run(maven, FETCH_SECONDS, f"fetch Kafka {VERSION}")
    partial.rename(libraries)
    shutil.rmtree(folder / "repository", ignore_errors=True)


def _run(command: list[str], seconds: float, purpose: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode:
        raise NoBroker(f"Could not {purpose}:\n{(done.stdout + done.stderr)[-2000:]}")


@contextmanager
def _one_at_a_time(folder: Path) -> Generator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def free_port(in_a_row: int = 2) -> int:
    """The first of some free ports, below those that the system gives out."""
    for port in range(20100 + os.getpid() % 4000, 30000, in_a_row):
        with ExitStack() as held:
            try:
                for number in range(port, port + in_a_row):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", number))
            except OSError:
                continue
            return port
    raise NoBroker(f"No {in_a_row} free ports in a row between 20100 and 30000.")


def main() -> None:
    parser = argparse.ArgumentParser(description="A Kafka broker for tests.")
    parser.add_argument("action", choices=["start", "stop", "kill", "pause", "resume"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--jars", type=Path, default=jars_folder())
    chosen = parser.parse_args()
    broker = Broker(chosen.data.absolute(), chosen.port, chosen.jars.absolute())
    try:
        getattr(broker, chosen.action)()
    except NoBroker as wrong:
        raise SystemExit(str(wrong)) from wrong
    print(f"{chosen.action}: {broker.servers}")


if __name__ == "__main__":
    main()
