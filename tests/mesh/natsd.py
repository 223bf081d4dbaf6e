"""A real nats-server for tests: on loopback, JetStream in a temporary folder, keys and TLS on request."""

import datetime as dt
import ipaddress
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mesh.core.fleet.nkeys import UserKey
from tests.ports import free_port

ALICE, BOB, EVE = (UserKey(bytes([number]) * 32) for number in (1, 2, 3))
PROGRAM = shutil.which("nats-server", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


class Authority:
    """A certificate authority of a test, and a certificate of 127.0.0.1 by it."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ca, self.cert, self.key = (
            folder / f"{name}-{what}.pem" for what in ("ca", "cert", "key")
        )
        ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} test authority")])
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        self.ca.write_bytes(
            self._pem(
                self._signed(ca_name, ca_name, ca_key, ca_key, x509.BasicConstraints(True, 0))
            )
        )
        self.cert.write_bytes(self._pem(self._signed(own, ca_name, key, ca_key, address)))
        form = serialization.PrivateFormat.PKCS8
        self.key.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        )

    @staticmethod
    def _pem(certificate) -> bytes:
        return certificate.public_bytes(serialization.Encoding.PEM)

    @staticmethod
    def _signed(subject, issuer, key, by, extension):
        now = dt.datetime.now(dt.UTC)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
        made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - dt.timedelta(days=1))
        made = made.not_valid_after(now + dt.timedelta(days=10))
        made = made.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        by_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key())
        made = made.add_extension(by_key, critical=False)
        own_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return made.add_extension(own_key, critical=False).sign(by, hashes.SHA256())

    def context(self) -> ssl.SSLContext:
        """What a client that trusts this authority, and no other, speaks TLS with."""
        return ssl.create_default_context(cafile=str(self.ca))


@dataclass
class NatsServer:
    """One server. `kill` ends it at once; started again it has its port and its folder."""

    folder: Path
    users: dict = field(default_factory=dict)
    """By public NKey, its permissions: subjects it may publish to, or None for all."""
    authority: Authority | None = None
    jetstream: bool = True
    port: int = field(default_factory=free_port)
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"{'tls' if self.authority else 'nats'}://127.0.0.1:{self.port}"

    def _configuration(self) -> str:
        lines = [f"host: 127.0.0.1\nport: {self.port}\nwrite_deadline: 2s"]
        if self.jetstream:
            lines.append(
                f'jetstream {{ store_dir: "{self.folder}/js", max_file: 200M, max_mem: 1M }}'
            )
        if self.authority:
            lines.append(
                f'tls {{ cert_file: "{self.authority.cert}", key_file: "{self.authority.key}" }}'
            )
        if self.users:
            rows = []
            for public, allowed in self.users.items():
                may = (
                    ""
                    if allowed is None
                    else f", permissions: {{ publish: {allowed!r} }}".replace("'", '"')
                )
                rows.append(f"{{ nkey: {public}{may} }}")
            lines.append("authorization { users: [ " + ", ".join(rows) + " ] }")
        return "\n".join(lines)

    def start(self) -> "NatsServer":
        assert PROGRAM, "there is no nats-server: apt install nats-server"
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "nats.conf"
        file.write_text(self._configuration())
        with (self.folder / "nats.log").open("ab") as log:
            self.process = subprocess.Popen([PROGRAM, "-c", str(file)], stdout=log, stderr=log)
        for _ in range(3000):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            assert self.process.poll() is None, (self.folder / "nats.log").read_text()
            time.sleep(0.02)
        raise AssertionError("nats-server does not start")

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
