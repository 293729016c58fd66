"""Lines of password files, made apart from our own code: hashlib, and libargon2 where it is installed."""

import base64
import ctypes
import ctypes.util
import hashlib
import os


def b64(raw):
    return base64.b64encode(raw).decode("ascii")


def plain(user, password):
    return f"{user}:{password}"


def sha512(user, password, salt=b"twelve bytes"):
    return f"{user}:$6${b64(salt)}${b64(hashlib.sha512(password.encode() + salt).digest())}"


def pbkdf2(user, password, rounds=101, salt=b"twelve bytes"):
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    return f"{user}:$7${rounds}${b64(salt)}${b64(digest)}"


def long_salt(user, password):
    """As version 2.1 writes them."""
    return pbkdf2(user, password, 1000, os.urandom(64))


def argon2id(user, password, memory=64, passes=1):
    """None where there is no libargon2."""
    name = ctypes.util.find_library("argon2")
    if not name:
        return None
    out = ctypes.create_string_buffer(512)
    secret, salt = password.encode(), os.urandom(64)
    error = ctypes.CDLL(name).argon2id_hash_encoded(
        ctypes.c_uint32(passes), ctypes.c_uint32(memory), ctypes.c_uint32(1), secret, ctypes.c_size_t(len(secret)),
        salt, ctypes.c_size_t(len(salt)), ctypes.c_size_t(64), out, ctypes.c_size_t(len(out)))
    assert error == 0, error
    return f"{user}:{out.value.decode('ascii')}"


def write(path, *lines):
    """A file of secrets: nobody else may read it."""
    path.write_text("".join(line + "\n" for line in lines))
    path.chmod(0o600)
    return path
