"""The server of `flask throwaway`: Werkzeug's, with threads, which ends when its parent does."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import ssl
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from flask import Flask
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from app.operations.exit_codes import FailedError

HOST = "127.0.0.1"
DAYS = 7


class Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """The app has a log of its own."""


class ThrowawayServer(ThreadedWSGIServer):
    """Serves an app on a socket that listens."""

    def __init__(self, app: Flask, listener: socket.socket, parent: int, context: ssl.SSLContext | None) -> None:
        port = listener.getsockname()[1]
        super().__init__(HOST, port, app, Quiet, ssl_context=context, fd=listener.fileno())
        self._parent = parent

    def service_actions(self) -> None:
        """End with the parent, however the parent ends: an orphaned process has another parent.

        `serve_forever` calls this between two requests, and at least once per interval.
        """
        if os.getppid() != self._parent:
            sys.exit(0)


def listen(port: int) -> socket.socket:
    """A socket that listens; the port is chosen first, as the issuer names it.

    Raises:
        ClickException: If the port is taken.
    """
    listener = socket.socket()
    # A port can be used again at once, even while connections of the previous server are closing.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise FailedError(f"the port {port} cannot be used: {error.strerror}") from error
    listener.listen(128)
    return listener


def own_certificate(folder: Path) -> ssl.SSLContext:
    """TLS with a certificate for 127.0.0.1 and localhost; the CA that signed it is in the folder, as `ca.pem`."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = ca_certificate(ca_key)
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "server.pem"  # in a folder of mode 0700
    certificate = server_certificate(key.public_key(), ca, ca_key)
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def named(name: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    """A certificate that is valid by the real clock, whatever `--clock` says: clients check it by theirs."""
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def ca_certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    builder = named("Keyturn throw-away CA", key.public_key())
    no = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    usage = x509.KeyUsage(**no, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False)
    return (
        builder.issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Keyturn throw-away CA")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def server_certificate(
    key: ec.EllipticCurvePublicKey, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    names = [x509.IPAddress(ipaddress.ip_address(HOST)), x509.DNSName("localhost")]
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return (
        named("Keyturn throw-away server", key)
        .issuer_name(ca.subject)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(signer, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
