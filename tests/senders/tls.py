"""TLS in front of a server that speaks none, for clients that refuse to do without."""

import asyncio
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.senders.capture import DEADLINE, free_port

HOST = "127.0.0.1"
CHUNK = 65_536


@contextmanager
def tls_before(server_port: int, folder: Path) -> Generator[tuple[str, ssl.SSLContext]]:
    """A listener on a free port that passes every byte on to that one, until the block ends.

    Gives its URL, and what a client has to trust to believe it.
    """
    certificate, key = folder / "tls.crt", folder / "tls.key"
    certify(certificate, key)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)
    port, loop = free_port(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    running = asyncio.run_coroutine_threadsafe(serve(port, server_port, served), loop)
    server = running.result(DEADLINE)
    try:
        yield f"https://{HOST}:{port}", ssl.create_default_context(cafile=str(certificate))
    finally:
        asyncio.run_coroutine_threadsafe(shut(server), loop).result(DEADLINE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(DEADLINE)
        loop.close()


def certify(certificate: Path, key: Path) -> None:
    """Write a certificate for this machine that signs itself, and its key; good for an hour."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Groundswell under test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


async def serve(port: int, server_port: int, served: ssl.SSLContext) -> asyncio.Server:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward = await asyncio.open_connection(HOST, server_port)
        except OSError:
            writer.transport.abort()  # as the server itself would refuse it
            return
        try:
            await asyncio.gather(carry(reader, onward[1]), carry(onward[0], writer))
        finally:  # also when it is shut in the middle
            for end in (writer, onward[1]):
                end.transport.abort()

    return await asyncio.start_server(connected, HOST, port, ssl=served)


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One way, to its end; whichever side ends or breaks, the other is told."""
    with suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()


async def shut(server: asyncio.Server) -> None:
    """Listen no more, and end the connections there still are."""
    server.close()
    own = asyncio.current_task()
    rest = [task for task in asyncio.all_tasks() if task is not own]
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await asyncio.sleep(0.1)  # for what was aborted to be told so, before the loop ends
