"""A server is held to the name it was asked for by, although it is connected to at an address looked up before."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bot.github.answers import At, Target
from bot.github.attachments import Attachments
from bot.markdown.images import references
from bot.model import InstallationId, Repo

HOST = "git.example.com"
IMAGE = bytes.fromhex("ffd8 ffc0 0011 08 0002 0003 03")
PATH = "/user-attachments/assets/118fe7ba-c0fd-459c-ad2c-12c5afba05ef"
AT = At(InstallationId(1), Repo(1, "acme/widgets", "main", private=True))


def certificate(folder: Path, name: str) -> Path:
    """Of a server that vouches for itself: a file with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)  # noqa: TID251  TLS looks at the real time
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{name}.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@dataclass
class Server:
    url: str
    trusted: ssl.SSLContext
    asked: list[str] = field(default_factory=list)


@asynccontextmanager
async def server(folder: Path, name: str) -> AsyncIterator[Server]:
    """One that answers everything with an image, and is `name` by its certificate."""
    pem = certificate(folder, name)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(pem)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(IMAGE) + IMAGE)
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=own)
    port = listening.sockets[0].getsockname()[1]
    found = Server(f"https://{HOST}:{port}", ssl.create_default_context(cafile=str(pem)))
    async with listening:
        yield found


@pytest.mark.parametrize(
    ("name", "why"),
    [
        pytest.param(HOST, [], id="its own name"),
        pytest.param("other.example.com", ["could not be fetched"], id="another name"),
    ],
)
async def test_a_certificate(tmp_path: Path, name: str, why: list[str]) -> None:
    async def loopback(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async def nothing(at: At, place: Target) -> str:
        return ""

    async with server(tmp_path, name) as there:
        attachments = Attachments(web_url=there.url, rendered=nothing, resolve=loopback, tls=there.trusted)
        got = await attachments.fetch(AT, [(None, references(f"![]({there.url}{PATH})", there.url))])
        assert [skipped.why for skipped in got.skipped] == why
        assert [file.content for file in got.files] == [IMAGE] * (not why)
        assert [f"Host: {there.url.removeprefix('https://')}" in head for head in there.asked] == [True] * (not why)
