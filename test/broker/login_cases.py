"""Who gets in: a table of password files and settings, with attempts and what must come of them.

Attempts are lines of client id, user name, password and outcome, separated by two blanks or more. `-` is none,
`''` an empty one. An outcome is the code of the CONNACK, `closed`, or for a configuration with which a broker does
not start `exit N`. What is written here is what ours must do; where 2.0.11 does otherwise, the table of known
differences in test_auth_differential.py has the row, with the reason.
"""

import base64
import ctypes
import hashlib
import re

CASES = []
FORM = re.compile(r" {2,}")


class LoginCase:
    """A configuration, and attempts on it."""

    def __init__(self, name, lines, passwords, attempts, starts=None):
        self.name = name
        self.lines = lines
        self.passwords = passwords
        self.attempts = [FORM.split(line.strip()) for line in attempts.strip().splitlines()]
        assert all(len(attempt) == 4 for attempt in self.attempts), name
        self.starts = starts  # the exit code that is expected; None: it runs


def case(name, lines, attempts="", passwords=None, starts=None):
    CASES.append(LoginCase(name, lines, passwords, attempts, starts))


def b64(data):
    return base64.b64encode(data).decode()


def salt(size):
    return bytes((7 * index + 3) % 256 for index in range(size))


def sha512(user, password, size=12):
    """The form of 1.4 to 1.6."""
    digest = hashlib.sha512(password.encode() + salt(size)).digest()
    return f"{user}:$6${b64(salt(size))}${b64(digest)}\n"


def pbkdf2(user, password, rounds=101, size=12):
    """The form of 2.0 and later."""
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt(size), rounds)
    return f"{user}:$7${rounds}${b64(salt(size))}${b64(digest)}\n"


def argon2id(user, password, memory=4096, rounds=1):
    """The form of 2.1 with libargon2, by that library."""
    library = ctypes.CDLL("libargon2.so.1")
    out = ctypes.create_string_buffer(512)
    code = library.argon2id_hash_encoded(
        rounds, memory, 1, password.encode(), len(password.encode()), salt(64), 64, 64, out, len(out))
    assert code == 0
    return f"{user}:{out.value.decode()}\n"


def damaged(line, old, new):
    assert old in line
    return line.replace(old, new, 1)


PASSWORDS = ("password_file {DIR}/passwords",)
BOTH = pbkdf2("alice", "secret") + sha512("bob", "hidden")

# --- anonymous or not -----------------------------------------------------------------------------

case("anonymous is not allowed unless it is said", (), """
c   -      -       5
c   alice  -       5
c   alice  secret  5
c   ''     -       5
""")
case("anonymous is allowed", ("allow_anonymous true",), """
c   -      -       0
c   alice  -       0
c   alice  secret  0
c   ''     -       0
c   ''     ''      0
-   -      -       0
""")
case("anonymous is not allowed", ("allow_anonymous false",), """
c   -      -       5
c   alice  secret  5
""")
case("a password file and anonymous clients", ("allow_anonymous true", *PASSWORDS), """
c   -      -       0
c   alice  secret  0
c   alice  wrong   5
c   alice  ''      5
c   alice  -       5
c   carol  secret  5
c   carol  -       5
c   ''     -       0
c   ''     secret  0
-   -      -       0
-   alice  secret  0
-   alice  wrong   5
""", BOTH)
case("a password file without anonymous clients", ("allow_anonymous false", *PASSWORDS), """
c   -      -        5
c   alice  secret   0
c   alice  secret1  5
c   alice  secre    5
c   alice  Secret   5
c   alice  hidden   5
c   alice  ''       5
c   alice  -        5
c   Alice  secret   5
c   alice1 secret   5
c   alic   secret   5
c   bob    hidden   0
c   bob    secret   5
c   carol  secret   5
c   ''     ''       5
-   -      -        5
-   bob    hidden   0
""".replace("alice1 ", "alice1  "), BOTH)
case("a password file, and nothing is said of anonymous clients", PASSWORDS, """
c   -      -       5
c   alice  secret  0
c   bob    wrong   5
""", BOTH)
case("an empty password file", PASSWORDS, """
c   -      -       5
c   alice  secret  5
c   ''     ''      5
""", "")
case("an empty password file and anonymous clients", ("allow_anonymous true", *PASSWORDS), """
c   -      -       0
c   alice  secret  5
""", "")
case("a password file that is not there", PASSWORDS, starts=3)
case("a password file without a name", ("password_file",), starts=3)

# --- what is in the file --------------------------------------------------------------------------

case("all forms that 2.0 can read", PASSWORDS, """
c   six     one    0
c   six     two    5
c   seven   two    0
c   seven   one    5
c   many    three  0
c   many    four   5
c   once    four   0
""", sha512("six", "one") + pbkdf2("seven", "two") + pbkdf2("many", "three", 20000) + pbkdf2("once", "four", 1))
case("$6$ with the salt of 2.1", PASSWORDS, """
c   six  one  0
c   six  two  5
""", sha512("six", "one", 64))
case("$7$ with the salt of 2.1", PASSWORDS, """
c   seven  one  0
c   seven  two  5
""", pbkdf2("seven", "one", 1000, 64))
case("argon2id of 2.1", PASSWORDS, """
c   argon  one  0
c   argon  two  5
c   argon  -    5
""", argon2id("argon", "one"))
case("names and passwords beyond ASCII", PASSWORDS, """
c   münchen  straße  0
c   münchen  strasse  5
c   a b c    d e f   0
c   x        пароль  0
""", pbkdf2("münchen", "straße") + pbkdf2("a b c", "d e f") + sha512("x", "пароль"))
case("a colon in a password", PASSWORDS, """
c   alice  a:b  0
c   alice  a    5
""", pbkdf2("alice", "a:b"))
case("names that look like others", PASSWORDS, """
c   #a      one    5
c   a       two    0
c   +       three  0
c   a/b     four   0
c   $SYS    five   0
""", "#a:x\n" + pbkdf2("a", "two") + pbkdf2("+", "three") + pbkdf2("a/b", "four") + pbkdf2("$SYS", "five"))
case("comments and blank lines", PASSWORDS, """
c   alice  secret  0
c   bob    hidden  0
""", "# first\n\n" + pbkdf2("alice", "secret") + "\n\n#bob:wrong\n#\n" + sha512("bob", "hidden") + "\n# last")
case("lines that end as in DOS", PASSWORDS, """
c   alice  secret  0
c   bob    hidden  0
c   bob    wrong   5
""", ("# dos\n\n" + BOTH).replace("\n", "\r\n"))
case("the last line does not end", PASSWORDS, """
c   alice  secret  0
c   bob    hidden  0
""", BOTH.rstrip("\n"))
case("the first of two lines for a name counts", PASSWORDS, """
c   alice  secret  0
c   alice  other   5
c   bob    hidden  0
""", pbkdf2("alice", "secret") + pbkdf2("alice", "other") + sha512("bob", "hidden"))
case("the order of lines does not matter", PASSWORDS, "\n".join(f"c  user{number}  pw{number}  0" for number in (0, 7, 39)),
     "".join(pbkdf2(f"user{number}", f"pw{number}") for number in reversed(range(40))))
case("a user without a password", PASSWORDS, passwords="alice:\n" + sha512("bob", "hidden"), starts=3)
case("a name alone", PASSWORDS, passwords="alice\n" + sha512("bob", "hidden"), starts=3)
case("a name that is empty", PASSWORDS, passwords=pbkdf2("", "secret") + sha512("bob", "hidden"), starts=3)
case("a password in clear", PASSWORDS, """
c   alice  secret  0
c   alice  wrong   5
c   bob    hidden  0
""", "alice:secret\n" + sha512("bob", "hidden"))
case("a form that nobody knows", PASSWORDS, passwords=damaged(pbkdf2("alice", "secret"), "$7$", "$9$"), starts=3)
case("an empty salt", PASSWORDS, passwords="alice:$6$$" + b64(b"x" * 64) + "\n", starts=3)
case("no hash behind the salt", PASSWORDS, passwords="alice:$6$" + b64(salt(12)) + "\n", starts=3)
case("an empty hash", PASSWORDS, passwords="alice:$6$" + b64(salt(12)) + "$\n", starts=3)
case("a hash that is too short", PASSWORDS, passwords="alice:$6$" + b64(salt(12)) + "$" + b64(b"x" * 32) + "\n", starts=3)
case("a hash that is too long", PASSWORDS, passwords="alice:$6$" + b64(salt(12)) + "$" + b64(b"x" * 96) + "\n", starts=3)
case("salts of other lengths", PASSWORDS, """
c   alice  secret  0
c   bob    hidden  0
""", sha512("alice", "secret", 11) + pbkdf2("bob", "hidden", 101, 16))
case("a salt of 3 bytes", PASSWORDS, passwords=sha512("alice", "secret", 3), starts=3)
case("no rounds", PASSWORDS, passwords=damaged(pbkdf2("alice", "secret"), "$101$", "$$"), starts=3)
case("0 rounds", PASSWORDS, passwords=damaged(pbkdf2("alice", "secret"), "$101$", "$0$"), starts=3)
case("rounds below nothing", PASSWORDS, passwords=damaged(pbkdf2("alice", "secret"), "$101$", "$-1$"), starts=3)
case("rounds that are no number", PASSWORDS, passwords=damaged(pbkdf2("alice", "secret"), "$101$", "$many$"), starts=3)
case("base64 that is none", PASSWORDS, passwords=damaged(sha512("alice", "secret"), b64(salt(12)), "!!!!!!!!!!!!!!!!"),
     starts=3)
case("surplus behind the hash", PASSWORDS, passwords=sha512("alice", "secret").rstrip("\n") + "$more\n", starts=3)
case("a broken hash behind good lines", PASSWORDS, passwords=BOTH + "carol:$6$broken\n", starts=3)
case("blanks behind the hash", PASSWORDS, """
c   alice  secret  0
""", pbkdf2("alice", "secret").rstrip("\n") + "  \n")

# --- settings -------------------------------------------------------------------------------------

case("user names as client ids", ("allow_anonymous true", "use_username_as_clientid true"), """
c   -      -  5
-   -      -  5
c   alice  -  0
-   alice  -  0
""")
case("user names as client ids, with passwords", ("use_username_as_clientid true", *PASSWORDS), """
c   alice  secret  0
c   alice  wrong   5
-   alice  secret  0
c   -      -       5
""", BOTH)
case("prefixes of client ids", ("allow_anonymous true", "clientid_prefixes good-"), """
good-1  -      -  0
good-   -      -  0
bad     -      -  2
good    -      -  2
goo     -      -  2
x-good- -      -  2
GOOD-1  -      -  2
good-1  alice  -  0
""".replace("x-good- ", "x-good-  "))
case("prefixes and passwords", ("clientid_prefixes good-", *PASSWORDS), """
good-1  alice  secret  0
good-1  alice  wrong   5
bad     alice  secret  2
""", BOTH)
case("no empty client ids", ("allow_anonymous true", "allow_zero_length_clientid false"), """
-   -      -  2
c   -      -  0
-   alice  -  2
""")
# --- per listener; the last column but one is the listener ------------------------------------------

PER = ("per_listener_settings true",)
case("per listener, nothing said", PER, """
c    -      -       5
c@2  -      -       0
""")
case("per listener, passwords here and none there", (*PER, "@1", *PASSWORDS, "@2", "allow_anonymous true"), """
c    -      -       5
c    alice  secret  0
c    alice  wrong   5
c@2  -      -       0
c@2  alice  wrong   0
c@2  carol  -       0
""", BOTH)
case("per listener, passwords on both", (*PER, "@1", *PASSWORDS, "@2", "allow_anonymous true", *PASSWORDS), """
c    -      -       5
c    bob    hidden  0
c@2  -      -       0
c@2  bob    hidden  0
c@2  bob    wrong   5
""", BOTH)
case("for all listeners, whichever line it is behind", ("@1", "allow_anonymous true", "@2", *PASSWORDS), """
c    -      -       0
c    alice  wrong   5
c    alice  secret  0
c@2  -      -       0
c@2  alice  wrong   5
""", BOTH)
case("per listener, client ids from names on one", (*PER, "@1", "allow_anonymous true", "use_username_as_clientid true"), """
c    -      -       5
c    alice  -       0
c@2  -      -       0
""")
