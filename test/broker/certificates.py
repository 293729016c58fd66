"""Certificates for the tests, made by the `openssl` command: authorities, servers, clients, revocation lists.

    pki.ca                  an authority that signs itself; `ca.cert` is its file
    pki.server              a pair for 127.0.0.1, ::1 and localhost: `pair.cert`, `pair.key`
    pki.client("name")      a pair whose subject has this common name
    pki.stranger            another authority that nobody trusts

Keys are on curve P-256, which costs milliseconds, unless `key="rsa"` is asked for. Whatever needs a past
is given dates: `issue("old", starts="20200101000000Z", ends="20210101000000Z")`. Everything lies in one directory
for a whole test process; tests that change files copy them first (`pair.copy(directory)`).
"""

import datetime
import re
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

SERVER_NAMES = "IP:127.0.0.1,IP:::1,DNS:localhost"
KEYS = {
    "ec": ("EC", "ec_paramgen_curve:P-256"), "rsa": ("RSA", "rsa_keygen_bits:2048"),
    "weak": ("RSA", "rsa_keygen_bits:512"),
}
# The configuration that `openssl ca` wants; it keeps books of what was signed and what is revoked.
BOOKS = """
[ca]
default_ca = books
[books]
dir = {directory}
database = $dir/index.txt
new_certs_dir = $dir
serial = $dir/serial
crlnumber = $dir/crlnumber
certificate = {cert}
private_key = {key}
default_md = sha256
default_crl_days = 30
policy = anything
unique_subject = no
[anything]
countryName = optional
organizationName = optional
organizationalUnitName = optional
commonName = optional
"""


def openssl(*arguments, data=None):
    """Run the command; what it says on its standard output."""
    command = ["openssl", *(str(part) for part in arguments)]
    done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stderr.decode('utf-8', 'replace')}"
    return done.stdout


def utc(**ago):
    """A point of time as certificates have it: now, or `days=-1` and the like from now."""
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**ago)
    return when.strftime("%Y%m%d%H%M%SZ")


def der(tag, content):
    """One ASN.1 value."""
    size = len(content)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def subject_of(name, subject=None):
    return subject or f"/O=Tests/CN={name}"


class Pair:
    """A certificate with its chain, and the key; both are files."""

    def __init__(self, cert, key):
        self.cert = Path(cert)
        self.key = Path(key)

    def copy(self, directory):
        """The same in another place, under the names cert.pem and key.pem."""
        return Pair(shutil.copy(self.cert, Path(directory) / "cert.pem"),
                    shutil.copy(self.key, Path(directory) / "key.pem"))

    def replace(self, other):
        """Become another pair, in the same files, as a renewal does: each file by a rename."""
        for mine, new in ((self.key, other.key), (self.cert, other.cert)):
            fresh = mine.with_name(mine.name + ".new")
            shutil.copy(new, fresh)
            fresh.replace(mine)

    def subject(self):
        """As RFC 2253 writes it."""
        text = openssl("x509", "-in", self.cert, "-noout", "-subject", "-nameopt", "RFC2253").decode()
        return text.strip().removeprefix("subject=")


class Authority(Pair):
    """Signs, revokes and lists what is revoked. With a `parent` it is an intermediate one."""

    def __init__(self, directory, name, parent=None, key="ec"):
        self.directory = Path(directory) / name
        self.directory.mkdir()
        self.name = name
        self.serial = 0
        super().__init__(self.directory / "ca.pem", self.directory / "ca.key")
        extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
        if parent is None:
            self.chain = b""
            self.new_key(self.key, key)
            openssl("req", "-new", "-x509", "-key", self.key, "-days", 3650, "-subj", subject_of(name),
                    "-addext", "basicConstraints=critical,CA:TRUE",
                    "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", self.cert)
        else:
            made = parent.issue(name, extensions=extensions, key=key)
            shutil.copy(made.key, self.key)
            self.cert.write_bytes(openssl("x509", "-in", made.cert))
            self.chain = self.cert.read_bytes() + parent.chain
        self.books = self.directory / "books.cnf"
        self.books.write_text(BOOKS.format(directory=self.directory, cert=self.cert, key=self.key))
        (self.directory / "index.txt").touch()
        (self.directory / "serial").write_text("1000\n")
        (self.directory / "crlnumber").write_text("01\n")

    @staticmethod
    def new_key(path, kind):
        algorithm, option = KEYS[kind]
        openssl("genpkey", "-algorithm", algorithm, "-pkeyopt", option, "-out", path)

    def issue(self, name, *, names=None, usage="clientAuth", key="ec", subject=None, days=365, starts=None,
              ends=None, extensions=None, utf8=True):
        """A pair signed by this authority; the file has the chain behind it, without the root.

        `names` are subject alternative names; `starts` and `ends` are dates (see `utc`). `extensions` replace
        all of them.
        """
        self.serial += 1
        stem = self.directory / f"{self.serial:03}"
        pair = Pair(stem.with_suffix(".pem"), stem.with_suffix(".key"))
        request, wanted = stem.with_suffix(".csr"), stem.with_suffix(".ext")
        if extensions is None:
            extensions = f"basicConstraints=CA:FALSE\nextendedKeyUsage={usage}\n"
            if names:
                extensions += f"subjectAltName={names}\n"
        wanted.write_text(extensions)
        self.new_key(pair.key, key)
        openssl("req", "-new", "-key", pair.key, "-subj", subject_of(name, subject), "-out", request,
                *(["-utf8"] if utf8 else []))
        if starts or ends:
            openssl("ca", "-batch", "-config", self.books, "-in", request, "-out", pair.cert, "-notext",
                    "-startdate", starts or utc(days=-1), "-enddate", ends or utc(days=365),
                    "-extfile", wanted, "-preserveDN")
        else:
            openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-days", days,
                    "-set_serial", 5000 + self.serial, "-extfile", wanted, "-out", pair.cert)
        with open(pair.cert, "ab") as out:
            out.write(self.chain)
        return pair

    def server(self, **options):
        """A pair for a server on this machine."""
        options.setdefault("names", SERVER_NAMES)
        return self.issue("localhost", usage="serverAuth", **options)

    def forge(self, pair, old, new):
        """The same with some bytes replaced by as many others, signed anew: what `openssl` would not make."""
        assert len(old) == len(new)
        text = ssl.PEM_cert_to_DER_cert(openssl("x509", "-in", pair.cert).decode())
        parts = openssl("asn1parse", "-in", pair.cert).decode().splitlines()
        begin, head, length = (int(number) for number in re.match(r" *(\d+):d=1 +hl=(\d+) l= *(\d+)", parts[1]).groups())
        signed = text[begin : begin + head + length]
        assert signed.count(old) == 1
        forged = signed.replace(old, new)
        raw = self.directory / "forged"
        raw.write_bytes(forged)
        signature = b"\0" + openssl("dgst", "-sha256", "-sign", self.key, raw)
        algorithm = text[begin + head + length : begin + head + length + 2 + text[begin + head + length + 1]]
        whole = der(0x30, forged + algorithm + der(0x03, signature))
        self.serial += 1
        path = self.directory / f"{self.serial:03}.pem"
        path.write_text(ssl.DER_cert_to_PEM_cert(whole))
        return Pair(path, pair.key)

    def revoke(self, pair):
        openssl("ca", "-config", self.books, "-revoke", pair.cert)

    def crl(self, path=None, starts=None, ends=None):
        """A file with the list of what has been revoked until now."""
        self.serial += 1
        path = path or self.directory / f"{self.serial:03}.crl"
        dates = []
        if starts or ends:
            dates = ["-crl_lastupdate", starts or utc(days=-1), "-crl_nextupdate", ends or utc(days=30)]
        openssl("ca", "-config", self.books, "-gencrl", *dates, "-out", path)
        return Path(path)


class Pki:
    """What most tests need, each made when it is first asked for."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.made = {}
        self.serial = 0

    def keep(self, key, make):
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def authority(self, name=None, **options):
        """A new one, for a test alone."""
        self.serial += 1
        return Authority(self.directory, name or f"authority{self.serial}", **options)

    @property
    def ca(self):
        return self.keep("ca", lambda: self.authority("ca"))

    @property
    def stranger(self):
        return self.keep("stranger", lambda: self.authority("stranger"))

    @property
    def intermediate(self):
        return self.keep("intermediate", lambda: self.authority("intermediate", parent=self.ca))

    @property
    def server(self):
        return self.keep("server", self.ca.server)

    @property
    def rsa_server(self):
        return self.keep("rsa server", lambda: self.ca.server(key="rsa"))

    def client(self, name="client"):
        return self.keep(("client", name), lambda: self.ca.issue(name))

    @property
    def expired(self):
        """A client's certificate that ended yesterday."""
        return self.keep("expired", lambda: self.ca.issue("expired", starts=utc(days=-30), ends=utc(days=-1)))

    @property
    def not_yet(self):
        """A client's certificate that begins tomorrow."""
        return self.keep("not yet", lambda: self.ca.issue("not yet", starts=utc(days=1), ends=utc(days=30)))

    @property
    def revoked(self):
        """A client's certificate that `pki.crl` lists."""
        def make():
            pair = self.ca.issue("revoked")
            self.ca.revoke(pair)
            return pair
        return self.keep("revoked", make)

    @property
    def crl(self):
        assert self.revoked
        return self.keep("crl", self.ca.crl)

    def tls(self, pair=None):
        """The lines of a listener that shows this certificate."""
        pair = pair or self.server
        return [f"certfile {pair.cert}", f"keyfile {pair.key}"]

    def mutual(self, pair=None):
        """… and lets in only who shows one signed by `ca`."""
        return [*self.tls(pair), f"cafile {self.ca.cert}", "require_certificate true"]


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """Authorities and certificates, made when they are first used."""
    return Pki(tmp_path_factory.mktemp("pki"))
