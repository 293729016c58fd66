"""MQTT over TLS for the tests: Python's ssl module below the client of mqtt_wire.

A refusal may come during the handshake or, with TLS 1.3, at the first read after it: `verdict` says what became of
a connection in one word, whichever it was.
"""

import re
import socket
import ssl
import warnings

import mqtt_wire
from listener_tools import SocketClient
from mqtt_wire import CONNACK, Closed, connect

SERVED = "served"
VERSIONS = {"1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def trusting(ca=None, pair=None, version=None, alpn=None, ciphers=None):
    """A client's settings: which authority it trusts (None: whatever it is shown), and what it shows itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(ca.cert)
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    if version is not None:
        if version == "1.1":
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = VERSIONS[version]
    if alpn:
        context.set_alpn_protocols(alpn)
    if ciphers:
        context.set_ciphers(ciphers)
    return context


class TlsClient(SocketClient):
    """A client over TLS; the handshake is done, nothing has been sent."""

    def __init__(self, port, context, host="127.0.0.1", name=None, session=None, first=b""):
        sock = socket.create_connection((host, port), mqtt_wire.PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = sock.getsockname()
        self.raw = sock
        sock.sendall(first)
        try:
            wrapped = context.wrap_socket(sock, server_hostname=name or host, session=session)
        except BaseException as error:
            sock.close()
            error.port = self.address[1]
            raise
        address = self.address
        super().__init__(wrapped)
        self.address = address

    def fill(self, seconds=None):
        """As on any connection; an end without a TLS goodbye is one too."""
        try:
            super().fill(seconds)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise Closed(f"connection of {self.id} was closed by the server") from None


    def disconnect(self):
        """Leave politely; half of a TLS connection cannot be shut."""
        self.send(mqtt_wire.BYE)
        self.expect_closed()
        self.sock.close()


class Verdict:
    """What became of an attempt: `word`, and the port that it came from."""

    def __init__(self, word, port):
        self.word = word
        self.port = port

    def __repr__(self):
        return self.word


def worded(error):
    """`alert certificate required` for TLSV13_ALERT_CERTIFICATE_REQUIRED, and so on."""
    return re.sub(r"^(ssl|tls)v?\d*_", "", (error.reason or str(error)).lower()).replace("_", " ")


def verdict(port, context, client_id="", name=None, **options):
    """Handshake, CONNECT and CONNACK: SERVED, `CONNACK 5`, `closed`, or the alert that came."""
    try:
        client = TlsClient(port, context, name=name)
    except ssl.SSLCertVerificationError as error:
        return Verdict(f"our own: {error.verify_message}", error.port)
    except ssl.SSLError as error:
        return Verdict(worded(error), error.port)
    except (ConnectionError, socket.timeout) as error:
        return Verdict("closed", error.port)
    try:
        client.send_if_open(connect(client_id, **options))
        got = client.recv()
        assert got.kind == CONNACK, got
        return Verdict(f"CONNACK {got.code}" if got.code else SERVED, client.address[1])
    except ssl.SSLError as error:
        return Verdict(worded(error), client.address[1])
    except Closed:
        return Verdict("closed", client.address[1])
    finally:
        client.close()


def shown(port, version=None):
    """The certificate, as bytes, that a server shows just now."""
    client = TlsClient(port, trusting(version=version))
    try:
        return client.sock.getpeercert(True)
    finally:
        client.close()


def first_certificate(path):
    """The first certificate of a file, in the same form."""
    text = path.read_text(encoding="ascii")
    end = "-----END CERTIFICATE-----\n"
    return ssl.PEM_cert_to_DER_cert(text[: text.index(end) + len(end)])
