"""What our programs do otherwise than Debian's in client_cases.py: to the letter, and for what reason."""

from client_cases import HELP, Ours

KNOWN = {}


def because(reason, *cases):
    """Differences by case: the name, and a list of those below."""
    for name, rows in zip(cases[::2], cases[1::2]):
        KNOWN.setdefault(name, []).extend(Ours(*row[:3], reason, *row[3:]) for row in rows)


def Exit(line, code):
    return line, "exit", str(code)


def Out(line, text):
    return line, "out", text


def Err(line, text):
    return line, "err", text


def Line(line, text):
    """One line on stderr."""
    return line, "err", text + "\n"


def Varies(line, stream, pattern):
    """A regular expression for all of it."""
    return line, stream, pattern, True


def Usage(line, text):
    """A line, and where to look."""
    return line, "err", f"{text}\n{HELP.format(line.split()[0])}"


because("the option is named as it was written, and the sentence is the same for all",
    "an option of mosquitto_pub without its argument", [
        Usage("pub -M", "Error: -M argument given but no max_inflight specified."),
        Usage("pub -V", "Error: -V argument given but no version specified."),
        Usage("pub --host", "Error: --host argument given but no host specified."),
        Usage("pub --id", "Error: --id argument given but no id specified."),
        Usage("pub --id-prefix", "Error: --id-prefix argument given but no id prefix specified."),
        Usage("pub --keepalive", "Error: --keepalive argument given but no keepalive specified."),
        Usage("pub --url", "Error: --url argument given but no URL specified."),
        Usage("pub --port", "Error: --port argument given but no port specified."),
        Usage("pub --pw", "Error: --pw argument given but no password specified."),
        Usage("pub --qos", "Error: --qos argument given but no QoS specified."),
        Usage("pub --topic", "Error: --topic argument given but no topic specified."),
        Usage("pub --username", "Error: --username argument given but no username specified."),
        Usage("pub --file", "Error: --file argument given but no file specified."),
        Usage("pub --message", "Error: --message argument given but no message specified."),
    ],
    "an option of mosquitto_sub without its argument", [
        Usage("sub -M", "Error: -M argument given but no max_inflight specified."),
        Usage("sub -V", "Error: -V argument given but no version specified."),
        Usage("sub --host", "Error: --host argument given but no host specified."),
        Usage("sub --id", "Error: --id argument given but no id specified."),
        Usage("sub --id-prefix", "Error: --id-prefix argument given but no id prefix specified."),
        Usage("sub --keepalive", "Error: --keepalive argument given but no keepalive specified."),
        Usage("sub --url", "Error: --url argument given but no URL specified."),
        Usage("sub --port", "Error: --port argument given but no port specified."),
        Usage("sub --pw", "Error: --pw argument given but no password specified."),
        Usage("sub --qos", "Error: --qos argument given but no QoS specified."),
        Usage("sub --topic", "Error: --topic argument given but no topic specified."),
        Usage("sub --username", "Error: --username argument given but no username specified."),
        Usage("sub -T", "Error: -T argument given but no topic specified."),
        Usage("sub -U", "Error: -U argument given but no topic specified."),
        Usage("sub --filter-out", "Error: --filter-out argument given but no topic specified."),
        Usage("sub --unsubscribe", "Error: --unsubscribe argument given but no topic specified."),
    ],
    "an option of mosquitto_rr without its argument", [
        Usage("rr -M", "Error: -M argument given but no max_inflight specified."),
        Usage("rr -V", "Error: -V argument given but no version specified."),
        Usage("rr --host", "Error: --host argument given but no host specified."),
        Usage("rr --id", "Error: --id argument given but no id specified."),
        Usage("rr --id-prefix", "Error: --id-prefix argument given but no id prefix specified."),
        Usage("rr --keepalive", "Error: --keepalive argument given but no keepalive specified."),
        Usage("rr --url", "Error: --url argument given but no URL specified."),
        Usage("rr --port", "Error: --port argument given but no port specified."),
        Usage("rr --pw", "Error: --pw argument given but no password specified."),
        Usage("rr --qos", "Error: --qos argument given but no QoS specified."),
        Usage("rr --topic", "Error: --topic argument given but no topic specified."),
        Usage("rr --username", "Error: --username argument given but no username specified."),
    ])

because("what may have been meant is told",
    "what mosquitto_pub does not know", [
        Usage("pub --pretty", "Error: Unknown option '--pretty'. Did you mean '--retry'?"),
    ])

because("long options take their argument after = too",
    "what mosquitto_pub does not know", [
        Usage("pub --topic=a", "Error: Both topic and message must be supplied."),
    ])

because("a mistake is answered by a line, not by a page",
    "something is missing for mosquitto_pub", [
        Out("pub ", ""),
        Usage("pub ", "Error: Both topic and message must be supplied."),
        Out("pub -t a", ""),
        Usage("pub -t a", "Error: Both topic and message must be supplied."),
        Out("pub -m a", ""),
        Usage("pub -m a", "Error: Both topic and message must be supplied."),
        Out("pub -l", ""),
        Usage("pub -l", "Error: Both topic and message must be supplied."),
        Out("pub -n", ""),
        Usage("pub -n", "Error: Both topic and message must be supplied."),
    ])

because("what is wrong with the line is told before stdin is read",
    "something is missing for mosquitto_pub", [
        Usage("pub -s", "Error: Both topic and message must be supplied."),
    ])

because("what would be right is told",
    "a port that is none", [
        Usage("pub -t a -m b -p -1", "Error: Invalid port given: -1 (1 to 65535)"),
        Usage("pub -t a -m b -p 0", "Error: Invalid port given: 0 (1 to 65535)"),
        Usage("pub -t a -m b -p 65536", "Error: Invalid port given: 65536 (1 to 65535)"),
        Usage("pub -t a -m b -p 700000", "Error: Invalid port given: 700000 (1 to 65535)"),
    ],
    "a QoS that is none", [
        Usage("pub -t a -m b -q 3", "Error: Invalid QoS given: 3 (0, 1 or 2)"),
        Usage("pub -t a -m b -q -1", "Error: Invalid QoS given: -1 (0, 1 or 2)"),
        Usage("pub -t a -m b -q 10", "Error: Invalid QoS given: 10 (0, 1 or 2)"),
    ],
    "a QoS that is none, for mosquitto_sub", [
        Usage("sub -t a -q 3", "Error: Invalid QoS given: 3 (0, 1 or 2)"),
        Usage("sub -t a -q -1", "Error: Invalid QoS given: -1 (0, 1 or 2)"),
    ],
    "a protocol that is none", [
        Usage("pub -t a -m b -V 4", "Error: Invalid protocol version argument given: 4 (mqttv311 or mqttv31)"),
        Usage("pub -t a -m b -V mqttv4",
            "Error: Invalid protocol version argument given: mqttv4 (mqttv311 or mqttv31)"),
        Usage("pub -t a -m b -V", "Error: -V argument given but no version specified."),
        Usage("pub -t a -m b -V MQTTV311",
            "Error: Invalid protocol version argument given: MQTTV311 (mqttv311 or mqttv31)"),
    ])

because("an empty topic would be refused by the broker",
    "topics nobody may publish to", [
        Usage("pub -t '' -m b", "Error: Invalid publish topic '', it must not be empty."),
    ],
    "filters that are none", [
        Usage("sub -t ''", "Error: Invalid subscription topic '', are all '+' and '#' wildcards correct?"),
        Usage("sub -t a -T ''", "Error: Invalid filter topic '', are all '+' and '#' wildcards correct?"),
        Usage("sub -t a -U ''", "Error: Invalid unsubscribe topic '', are all '+' and '#' wildcards correct?"),
    ],
    "topics of mosquitto_rr that are none", [
        Usage("rr -t '' -e b -m c", "Error: Invalid publish topic '', it must not be empty."),
        Usage("rr -t a -e '' -m c", "Error: Invalid response topic '', it must not be empty."),
    ],
    "wills that are none", [
        Usage("pub -t a -m b --will-topic ''", "Error: Invalid will topic '', it must not be empty."),
    ],
    "URLs that are none", [
        Usage("pub -L mqtt://127.0.0.1:{DEAD}/ -m b",
            "Error: Invalid URL for -L argument specified - topic missing."),
    ],
    "URLs that are none, for mosquitto_sub", [
        Usage("sub -L mqtt://127.0.0.1:{DEAD}/", "Error: Invalid URL for -L argument specified - topic missing."),
    ])

because("what is missing is told first",
    "filters that are none", [
        Usage("sub -T a#", "Error: You must specify a topic to subscribe to."),
        Usage("sub -U a+", "Error: You must specify a topic to subscribe to."),
    ])

because("what was written is told",
    "counts and seconds that are none", [
        Usage("sub -t a -C x", 'Error: Invalid message count "x".'),
        Usage("sub -t a -W x", 'Error: Invalid timeout "x".'),
    ],
    "formats and -N, -v", [
        Usage("sub -t a -F %p -v -N -W x", 'Error: Invalid timeout "x".'),
    ])

because("2.0.11 takes 100 for 10, and 101 too",
    "counts and seconds that are none", [
        Usage("sub -t a --random-filter 101", "Error: --random-filter chance must be between 0.1-100.0"),
    ])

because("what is no number is not 0",
    "repetitions that are none", [
        Usage("pub -t a -m b --repeat 2 --repeat-delay x", "Error: --repeat-delay argument must be >=0.0."),
    ])

because("the place of the mistake is told",
    "formats that are none", [
        Usage("sub -t a -F %", "Error: Incomplete format specifier at position 1."),
        Usage("sub -t a -F %z",
            "Error: Invalid format specifier 'z' at position 1, known are: % A C D E F I J P R S U X "
            "d f j l m p q r t x."),
        Usage("sub -t a -F a\\\\", "Error: Incomplete escape specifier at position 2."),
        Usage("sub -t a -F '\\q'",
            "Error: Invalid escape specifier 'q' at position 1, known are: \\\\ \\0 \\a \\e \\n \\r \\t \\v."),
        Usage("sub -t a -F @", "Error: Incomplete format specifier at position 1."),
        Usage("sub -t a -F %5", "Error: Incomplete format specifier at position 1."),
    ],
    "an odd format: %", [
        Usage("sub -t {T} -C 1 -q 1 -F '[%'", "Error: Incomplete format specifier at position 2."),
    ],
    "an odd format: a%", [
        Usage("sub -t {T} -C 1 -q 1 -F '[a%'", "Error: Incomplete format specifier at position 3."),
    ],
    "an odd format: %z", [
        Usage("sub -t {T} -C 1 -q 1 -F '[%z'",
            "Error: Invalid format specifier 'z' at position 2, known are: % A C D E F I J P R S U X "
            "d f j l m p q r t x."),
    ],
    "an odd format: @", [
        Usage("sub -t {T} -C 1 -q 1 -F '[@'", "Error: Incomplete format specifier at position 2."),
    ],
    "an odd format: \\q", [
        Usage("sub -t {T} -C 1 -q 1 -F '[\\q'",
            "Error: Invalid escape specifier 'q' at position 2, known are: \\\\ \\0 \\a \\e \\n \\r \\t \\v."),
    ],
    "an odd format: \\", [
        Usage("sub -t {T} -C 1 -q 1 -F '[\\'", "Error: Incomplete escape specifier at position 2."),
    ],
    "an odd format: %5", [
        Usage("sub -t {T} -C 1 -q 1 -F '[%5'", "Error: Incomplete format specifier at position 2."),
    ],
    "an odd format: %-", [
        Usage("sub -t {T} -C 1 -q 1 -F '[%-'", "Error: Incomplete format specifier at position 2."),
    ],
    "an odd format: %.", [
        Usage("sub -t {T} -C 1 -q 1 -F '[%.'", "Error: Incomplete format specifier at position 2."),
    ],
    "an odd format: %5.", [
        Usage("sub -t {T} -C 1 -q 1 -F '[%5.'", "Error: Incomplete format specifier at position 2."),
    ],
    "an odd format: 100%", [
        Usage("sub -t {T} -C 1 -q 1 -F '[100%'", "Error: Incomplete format specifier at position 5."),
    ])

because("what would be right is told, and no password is shown",
    "proxies that are none", [
        Usage("pub -t a -m b --proxy http://h",
            "Error: Unsupported proxy protocol; it is socks5h://[USER[:PASSWORD]@]HOST[:PORT]"),
        Usage("pub -t a -m b --proxy socks5h://",
            "Error: Invalid proxy; it is socks5h://[USER[:PASSWORD]@]HOST[:PORT]"),
        Usage("pub -t a -m b --proxy x",
            "Error: Unsupported proxy protocol; it is socks5h://[USER[:PASSWORD]@]HOST[:PORT]"),
        Usage("pub -t a -m b --proxy socks5h://user@",
            "Error: Invalid proxy; it is socks5h://[USER[:PASSWORD]@]HOST[:PORT]"),
        Usage("pub -t a -m b --proxy socks5h://127.0.0.1:port",
            "Error: Invalid proxy; it is socks5h://[USER[:PASSWORD]@]HOST[:PORT]"),
        Usage("pub -t a -m b --proxy socks5h://127.0.0.1:99999",
            "Error: Invalid proxy; it is socks5h://[USER[:PASSWORD]@]HOST[:PORT]"),
        Usage("pub -t a -m b --proxy socks5h://127.0.0.1:0",
            "Error: Invalid proxy; it is socks5h://[USER[:PASSWORD]@]HOST[:PORT]"),
    ])

because("what to do is told",
    "ids of mosquitto_sub", [
        Usage("sub -c -i '' -t a", "Error: Invalid id; -i must not be empty. Leave it out to have one made up."),
    ],
    "made-up ids", [
        Usage("pub -h 127.0.0.1 -p {PORT} -t {T} -m a -i ''",
            "Error: Invalid id; -i must not be empty. Leave it out to have one made up."),
    ])

because("MQTT 5 is not in this build, and that is said by name",
    "options of MQTT 5", [
        Usage("pub -t a -m b -V mqttv5", "Error: -V mqttv5: MQTT 5 is not in this build; mqttv311 and mqttv31 are."),
        Usage("pub -t a -m b -V 5", "Error: -V 5: MQTT 5 is not in this build; mqttv311 and mqttv31 are."),
        Usage("pub -t a -m b -V 5 -D publish topic-alias 1",
            "Error: -V 5: MQTT 5 is not in this build; mqttv311 and mqttv31 are."),
        Usage("pub -t a -m b -D publish", "Error: -D: MQTT 5, to which properties belong, is not in this build."),
        Usage("pub -t a -m b -x 10",
            "Error: -x: MQTT 5, to which the session expiry interval belongs, is not in this build."),
        Usage("pub -t a -m b -x",
            "Error: -x: MQTT 5, to which the session expiry interval belongs, is not in this build."),
        Usage("pub -D publish user-property a",
            "Error: -D: MQTT 5, to which properties belong, is not in this build."),
    ],
    "options of MQTT 5 for mosquitto_sub", [
        Usage("sub -t a -V mqttv5", "Error: -V mqttv5: MQTT 5 is not in this build; mqttv311 and mqttv31 are."),
        Usage("sub -t a -x 10",
            "Error: -x: MQTT 5, to which the session expiry interval belongs, is not in this build."),
        Usage("sub -t a -D subscribe user-property a b",
            "Error: -D: MQTT 5, to which properties belong, is not in this build."),
        Usage("sub -t a --retain-as-published",
            "Error: --retain-as-published: MQTT 5, to which it belongs, is not in this build."),
        Usage("sub -t a --retain-handling new",
            "Error: --retain-handling: MQTT 5, to which it belongs, is not in this build."),
    ],
    "options of MQTT 5 for mosquitto_rr", [
        Usage("rr -t a -e b -m c -V 5 -D publish content-type x",
            "Error: -V 5: MQTT 5 is not in this build; mqttv311 and mqttv31 are."),
        Usage("rr -t a -e b -m c -x 10",
            "Error: -x: MQTT 5, to which the session expiry interval belongs, is not in this build."),
    ])

because("whoever asks for it has made no mistake",
    "which version of mosquitto_pub", [
        Exit("pub --version", 0),
    ],
    "which version of mosquitto_sub", [
        Exit("sub --version", 0),
    ],
    "which version of mosquitto_rr", [
        Exit("rr --version", 0),
    ])

because("our version",
    "which version of mosquitto_pub", [
        Varies("pub --version", "out",
            "mosquitto_pub version \\d+\\.\\d+\\.\\d+ running on libmosquitto \\d+\\.\\d+\\.\\d+\\.\\n"),
    ],
    "which version of mosquitto_sub", [
        Varies("sub --version", "out",
            "mosquitto_sub version \\d+\\.\\d+\\.\\d+ running on libmosquitto \\d+\\.\\d+\\.\\d+\\.\\n"),
    ],
    "which version of mosquitto_rr", [
        Varies("rr --version", "out",
            "mosquitto_rr version \\d+\\.\\d+\\.\\d+ running on libmosquitto \\d+\\.\\d+\\.\\d+\\.\\n"),
    ])

because("one line with the reason",
    "files that cannot be sent", [
        Line("pub -t a -f {PUBLIC}/absent", 'Error: Unable to open file "PUBLIC/absent": No such file or directory.'),
        Line("pub -t a -f {PUBLIC}", 'Error: Unable to read file "PUBLIC": it is a directory.'),
        Line("pub -t a -f ''", 'Error: Unable to open file "": No such file or directory.'),
    ])

because("WebSockets are not in this build, and that is said by name",
    "WebSocket", [
        Usage("pub -t a -m b --ws", "Error: --ws: WebSockets are not in this build."),
        Usage("pub -L ws://127.0.0.1:{DEAD}/t -m b",
            "Error: WebSockets (ws:// and wss:// of -L) are not in this build."),
        Usage("pub -L wss://127.0.0.1:{DEAD}/t -m b",
            "Error: WebSockets (ws:// and wss:// of -L) are not in this build."),
    ])

because("every message leaves a trace",
    "-v -N", [
        Out("sub -t {T}/# -v -N -C 2", "T/a oneT/a (null)"),
    ])

because("2.0.11 cuts lines at zeros and loses the one behind",
    "lines that have zeros in them", [
        Out("sub -t {T} -W 3 -F %x",
            "6f6e650074776f\n"
            "7468726565\n"),
    ])

because("the reason is told",
    "own addresses", [
        Err("pub -t {T} -m b -A not.an.address.invalid",
            "Unable to connect: the address to connect from is none of this machine's.\n"
            "Unable to connect (Invalid function arguments provided.).\n"),
    ],
    "no such host", [
        Err("pub -h '' -p {DEAD} -t a -m b",
            "Unable to connect: this cannot be the name of a host.\n"
            "Unable to connect (Invalid function arguments provided.).\n"),
    ],
    "no such socket", [
        Err("pub --unix " + "x" * 110 + " -t a -m b",
            "Unable to connect: a socket cannot have such a path: it is empty, or too long.\n"
            "Unable to connect (Invalid function arguments provided.).\n"),
    ])

because("such an id is refused before the broker closes the connection; 2.0.11 says nothing at all",
    "an id that is no UTF-8", [
        Usage("pub -h 127.0.0.1 -p {PORT} -t {T} -m a -i x\\udcff", "Error: Malformed UTF-8 in -i argument."),
    ])

because("the option is named",
    "an id that is no UTF-8", [
        Usage("pub -t {T} -m a -u x\\udcff", "Error: Malformed UTF-8 in -u argument."),
    ])

because("2.0.11 does not end by -C or --retained-only when it removes",
    "--remove-retained", [
        Exit("sub -t {T}/# --remove-retained -C 2 -W 3", 0),
        Err("sub -t {T}/# --remove-retained -C 2 -W 3", ""),
    ],
    "--remove-retained --retained-only", [
        Exit("sub -t {T}/# --remove-retained --retained-only -W 3", 0),
        Err("sub -t {T}/# --remove-retained --retained-only -W 3", ""),
    ],
    "-d and --remove-retained", [
        Exit("sub -d -t {T} --remove-retained -C 1 -W 2", 0),
        Err("sub -d -t {T} --remove-retained -C 1 -W 2", ""),
    ])

because("as all mistakes of usage",
    "-R and --retained-only", [
        Usage("sub -t {T}/# -R --retained-only -v -W 1",
            "Error: Combining '-R' and '--retained-only' makes no sense."),
    ])

because("2.0.11 cuts the text by the width",
    "width and precision: %20x", [
        Out("sub -t {T} -C 1 -q 1 -F '[%20x]'", "[          68656c6c6f]\n"),
    ])

because("%.Nx splits into groups, as in 2.1",
    "width and precision: %.2x", [
        Out("sub -t {T} -C 1 -q 1 -F '[%.2x]'", "[6865 6c6c 6f]\n"),
    ],
    "width and precision: %.4X", [
        Out("sub -t {T} -C 1 -q 1 -F '[%.4X]'", "[68656C6C 6F]\n"),
    ])

because("JSON is UTF-8, whatever the payload",
    "JSON with every kind of payload", [
        Out("sub -t {T}/# -C 6 -F %j",
            '{"tst":"TIME","topic":"T/a","qos":0,"retain":0,"payloadlen":5,"payload":"hello"}\n'
            '{"tst":"TIME","topic":"T/b","qos":0,"retain":0,"payloadlen":0,"payload":null}\n'
            '{"tst":"TIME","topic":"T/c","qos":0,"retain":0,"payloadlen":15,"payload":"\\"quoted\\" \\\\ back"}\n'
            '{"tst":"TIME","topic":"T/d","qos":0,"retain":0,"payloadlen":14,"payload":"line\\nline\\ttab\\u0001"}\n'
            '{"tst":"TIME","topic":"T/e","qos":0,"retain":0,"payloadlen":8,"payload":"{\\"a\\": 1}"}\n'
            '{"tst":"TIME","topic":"T/f","qos":0,"retain":0,"payloadlen":2,"payload":"��"}\n'),
    ])

because("always the same exit code",
    "a URL of TLS", [
        Exit("pub -L mqtts://localhost:{TLS}/{T} -m a", 1),
        Exit("pub -L mqtts://localhost:{TLS}/{T} --cafile {WRONGCA} -m a", 1),
        Exit("pub -L mqtts://localhost:{PORT}/{T} --cafile {CA} -m a", 1),
    ],
    "authorities in a directory", [
        Exit("pub -t {T} -m a --capath /nowhere", 1),
    ],
    "the wrong authority", [
        Exit("pub -t {T} -m a --cafile {WRONGCA}", 1),
        Exit("sub -t {T} --cafile {WRONGCA}", 1),
        Exit("pub -t {T} -m a --cafile {WRONGCA} --insecure", 1),
        Exit("rr -t {T} -e {T}/e -m a --cafile {WRONGCA}", 1),
    ],
    "the wrong authority, quietly", [
        Exit("pub -t {T} -m a --cafile {WRONGCA} --quiet", 1),
    ],
    "the system's authorities", [
        Exit("pub -t {T} -m a --tls-use-os-certs", 1),
    ],
    "files of authorities that are none", [
        Exit("pub -t {T} -m a --cafile {PUBLIC}/not-a-certificate", 1),
        Exit("pub -t {T} -m a --cafile {PUBLIC}/empty", 1),
    ],
    "a certificate of another host", [
        Exit("pub -t {T} -m a --cafile {CA}", 1),
        Exit("sub -t {T} --cafile {CA}", 1),
    ],
    "certificates and keys that are none", [
        Exit("pub -t {T} -m a --cafile {CA} --cert {CERT} --key {STRANGERKEY}", 1),
        Exit("pub -t {T} -m a --cafile {CA} --cert {PUBLIC}/not-a-certificate --key {KEY}", 1),
    ],
    "ciphers", [
        Exit("pub -t {T} -m a --cafile {CA} --ciphers NONSENSE", 1),
    ],
    "TLS where there is none", [
        Exit("pub -t {T} -m a -h localhost -p {PORT} --cafile {CA}", 1),
    ],
    "no TLS where there is some", [
        Exit("pub -t {T} -m a -q 1", 7),
    ],
    "a wrong pre-shared key", [
        Exit("pub -t {T} -m a -q 1 --psk 1234abce --psk-identity someone", 1),
        Exit("pub -t {T} -m a -q 1 --psk 1234abcd --psk-identity nobody", 1),
    ],
    "a pre-shared key that is none", [
        Exit("pub -t {T} -m a --psk '' --psk-identity someone", 1),
    ],
    "-d and TLS", [
        Exit("pub -d -t {T} -m a --cafile {WRONGCA}", 1),
    ])

because("what is wrong is told, and always in the same words",
    "a URL of TLS", [
        Err("pub -L mqtts://localhost:{TLS}/{T} -m a",
            "Unable to connect: the TLS handshake has failed: the server's certificate is of an "
            "authority that is not trusted: ca.\n"
            "Unable to connect (A TLS error occurred.).\n"),
        Err("pub -L mqtts://localhost:{TLS}/{T} --cafile {WRONGCA} -m a",
            "Unable to connect: the TLS handshake has failed: the server's certificate is of an "
            "authority that is not trusted: ca.\n"
            "Unable to connect (A TLS error occurred.).\n"),
        Varies("pub -L mqtts://localhost:{PORT}/{T} --cafile {CA} -m a", "err",
            "Unable to connect: the TLS handshake has failed: (Connection reset by peer|the server "
            "closed the connection during the handshake)\\.\n"
            "Unable to connect \\(A TLS error occurred\\.\\)\\.\n"),
    ],
    "authorities in a directory", [
        Line("pub -t {T} -m a --capath /nowhere", "Error: Problem setting TLS options: /nowhere: File not found."),
    ],
    "the wrong authority", [
        Err("pub -t {T} -m a --cafile {WRONGCA}",
            "Unable to connect: the TLS handshake has failed: the server's certificate is of an "
            "authority that is not trusted: ca.\n"
            "Unable to connect (A TLS error occurred.).\n"),
        Err("sub -t {T} --cafile {WRONGCA}",
            "Unable to connect: the TLS handshake has failed: the server's certificate is of an "
            "authority that is not trusted: ca.\n"
            "Unable to connect (A TLS error occurred.).\n"),
        Err("pub -t {T} -m a --cafile {WRONGCA} --insecure",
            "Unable to connect: the TLS handshake has failed: the server's certificate is of an "
            "authority that is not trusted: ca.\n"
            "Unable to connect (A TLS error occurred.).\n"),
        Err("rr -t {T} -e {T}/e -m a --cafile {WRONGCA}",
            "Unable to connect: the TLS handshake has failed: the server's certificate is of an "
            "authority that is not trusted: ca.\n"
            "Unable to connect (A TLS error occurred.).\n"),
    ],
    "the system's authorities", [
        Err("pub -t {T} -m a --tls-use-os-certs",
            "Unable to connect: the TLS handshake has failed: the server's certificate is of an "
            "authority that is not trusted: ca.\n"
            "Unable to connect (A TLS error occurred.).\n"),
    ],
    "files of authorities that are none", [
        Err("pub -t {T} -m a --cafile {PUBLIC}/not-a-certificate",
            "Error: cafile 'PUBLIC/not-a-certificate' holds no certificate.\n"
            "Unable to connect (A TLS error occurred.).\n"),
        Line("pub -t {T} -m a --cafile {PUBLIC}/absent",
            "Error: Problem setting TLS options: PUBLIC/absent: File not found."),
        Err("pub -t {T} -m a --cafile {PUBLIC}/empty",
            "Error: cafile 'PUBLIC/empty' holds no certificate.\n"
            "Unable to connect (A TLS error occurred.).\n"),
    ],
    "a certificate of another host", [
        Err("pub -t {T} -m a --cafile {CA}",
            "Unable to connect: the TLS handshake has failed: the server's certificate is not for "
            "localhost, but for elsewhere.example.\n"
            "Unable to connect (A TLS error occurred.).\n"),
        Err("sub -t {T} --cafile {CA}",
            "Unable to connect: the TLS handshake has failed: the server's certificate is not for "
            "localhost, but for elsewhere.example.\n"
            "Unable to connect (A TLS error occurred.).\n"),
    ],
    "certificates and keys that are none", [
        Line("pub -t {T} -m a --cafile {CA} --cert {PUBLIC}/absent --key {KEY}",
            "Error: Problem setting TLS options: PUBLIC/absent: File not found."),
        Line("pub -t {T} -m a --cafile {CA} --cert {CERT} --key {PUBLIC}/absent",
            "Error: Problem setting TLS options: PUBLIC/absent: File not found."),
        Err("pub -t {T} -m a --cafile {CA} --cert {CERT} --key {STRANGERKEY}",
            "Error: keyfile 'STRANGERKEY' does not belong to certfile 'CERT'.\n"
            "Unable to connect (A TLS error occurred.).\n"),
        Err("pub -t {T} -m a --cafile {CA} --cert {PUBLIC}/not-a-certificate --key {KEY}",
            "Error: certfile 'PUBLIC/not-a-certificate' holds no certificate.\n"
            "Unable to connect (A TLS error occurred.).\n"),
    ],
    "ciphers", [
        Err("pub -t {T} -m a --cafile {CA} --ciphers NONSENSE",
            "Error: ciphers 'NONSENSE': no such cipher.\n"
            "Unable to connect (A TLS error occurred.).\n"),
    ],
    "TLS where there is none", [
        Varies("pub -t {T} -m a -h localhost -p {PORT} --cafile {CA}", "err",
            "Unable to connect: the TLS handshake has failed: (Connection reset by peer|the server "
            "closed the connection during the handshake)\\.\n"
            "Unable to connect \\(A TLS error occurred\\.\\)\\.\n"),
    ],
    "no TLS where there is some", [
        Line("pub -t {T} -m a -q 1", "Error: The connection was lost. 1 message was not delivered."),
    ],
    "a wrong pre-shared key", [
        Err("pub -t {T} -m a -q 1 --psk 1234abce --psk-identity someone",
            "Unable to connect: the TLS handshake has failed: the server refused: wrong PSK.\n"
            "Unable to connect (A TLS error occurred.).\n"),
        Err("pub -t {T} -m a -q 1 --psk 1234abcd --psk-identity nobody",
            "Unable to connect: the TLS handshake has failed: the server refused: it does not know "
            "the PSK identity, or wants no PSK.\n"
            "Unable to connect (A TLS error occurred.).\n"),
    ],
    "a pre-shared key that is none", [
        Line("pub -t {T} -m a --psk xyz --psk-identity someone",
            "Error: Problem setting TLS-PSK options: Invalid function arguments provided."),
        Line("pub -t {T} -m a --psk '' --psk-identity someone",
            "Error: Problem setting TLS-PSK options: Invalid function arguments provided."),
    ],
    "-d and TLS", [
        Out("pub -d -t {T} -m a --cafile {WRONGCA}",
            "Unable to connect: the TLS handshake has failed: the server's certificate is of an "
            "authority that is not trusted: ca.\n"),
        Line("pub -d -t {T} -m a --cafile {WRONGCA}", "Unable to connect (A TLS error occurred.)."),
    ])

because("the file that has the mistake is named",
    "an options file with a mistake", [
        Err("pub -t {T} -m a",
            "Error: Unknown option '--nonsense'.\n"
            "Use 'mosquitto_pub --help' to see usage.\n"
            'The option is in the file "HOME/.config/mosquitto_pub".\n'),
    ],
    "an options file with a missing argument", [
        Err("pub -t {T} -m a",
            "Error: -q argument given but no QoS specified.\n"
            "Use 'mosquitto_pub --help' to see usage.\n"
            'The option is in the file "HOME/.config/mosquitto_pub".\n'),
    ],
    "an options file with a bad value", [
        Err("pub -t {T} -m a",
            "Error: Invalid QoS given: 5 (0, 1 or 2)\n"
            "Use 'mosquitto_pub --help' to see usage.\n"
            'The option is in the file "HOME/.config/mosquitto_pub".\n'),
    ],
    "an options file without a dash", [
        Err("pub -t {T} -m a",
            "Error: Unknown option 'q 1'.\n"
            "Use 'mosquitto_pub --help' to see usage.\n"
            'The option is in the file "HOME/.config/mosquitto_pub".\n'),
    ])

because("an option of 2.1",
    "-o", [
        Exit("sub -t {T} -C 1 -q 2 -W 2 -F '%q %p'", 0),
        Out("sub -t {T} -C 1 -q 2 -W 2 -F '%q %p'", "1 a\n"),
        Err("sub -t {T} -C 1 -q 2 -W 2 -F '%q %p'", ""),
        Exit("pub -o {HOME}/mine -m a", 0),
        Err("pub -o {HOME}/mine -m a", ""),
        Exit("pub -o {HOME}/mine -t {T} -m a -p {PORT}", 0),
        Err("pub -o {HOME}/mine -t {T} -m a -p {PORT}", ""),
    ],
    "-o without a file", [
        Usage("pub -t {T} -m a -o {HOME}/absent",
            'Error: Unable to open options file "HOME/absent": No such file or directory.'),
        Usage("pub -t {T} -m a -o", "Error: -o argument given but no options file specified."),
    ])

because("Debian's build has no -S",
    "SRV records of nobody", [
        Line("pub -S -h no.such.host.invalid -t a -m b", "Unable to connect (Lookup error.)."),
    ])

because("2.0.11 looks the code up among those of MQTT 5",
    "who is refused", [
        Err("rr -t {T} -e {T}/e -m a -u alice -P wrong",
            "Connection error: Connection Refused: not authorised.\n"
            "Error: The connection was refused.\n"),
    ])

because("what is missing is told",
    "a password without a name", [
        Usage("pub -t {T} -m a -P secret", "Error: A password was given, but no username (-u)."),
        Usage("pub -t {T} -m b -P secret", "Error: A password was given, but no username (-u)."),
    ])

because("it is told why; with TLS 1.3 the server refuses after the handshake, and may hang up before that can be read",
    "no certificate where one is wanted", [
        Varies(line, stream, pattern)
        for line in ("pub -t {T} -m a --cafile {CA} -q 1",
                     "pub -t {T} -m a --cafile {CA} --cert {STRANGER} --key {STRANGERKEY} -q 1")
        for stream, pattern in (
            ("exit", "1|7"),
            ("err", "(TLS error: .*\\n)?Unable to connect \\(.*\\)\\.\\n|"
                    "Error: The connection was lost\\. 1 message was not delivered\\.\\n"))
    ])

because("who cannot connect ends with 1",
    "a proxy that refuses", [
        Exit("pub -t {T} -m b --proxy socks5h://through:nothing@127.0.0.1:{SOCKS}", 1),
    ],
    "a proxy that cannot reach the broker", [
        Exit("pub -t {T} -m a -h 127.0.0.1 -p {DEAD} --proxy socks5h://127.0.0.1:{SOCKS}", 1),
    ])

because("it is told that it is the proxy",
    "a proxy that refuses", [
        Err("pub -t {T} -m b --proxy socks5h://through:nothing@127.0.0.1:{SOCKS}",
            "Unable to connect: the proxy does not take this user name and password.\n"
            "Unable to connect (Authorisation failed.).\n"),
    ],
    "a proxy that cannot reach the broker", [
        Err("pub -t {T} -m a -h 127.0.0.1 -p {DEAD} --proxy socks5h://127.0.0.1:{SOCKS}",
            "Unable to connect: the proxy says that the host refuses the connection.\n"
            "Unable to connect (The client is not currently connected.).\n"),
    ])

because("2.0.11 refuses an escaped letter, without a word why",
    "a proxy with letters in hexadecimal", [
        Exit("pub -t {T} -m b --proxy socks5h://thro%75gh:w%61ll@127.0.0.1:{SOCKS}", 0),
        Err("pub -t {T} -m b --proxy socks5h://thro%75gh:w%61ll@127.0.0.1:{SOCKS}", ""),
    ])

because("2.0.11 sends nothing of a file or of stdin",
    "a question from a file", [
        Out("sub -t {T}/ask -C 1 -v -q 0 -i {ID}s2", "T/ask from a file\n\n"),
    ],
    "a question from stdin", [
        Out("sub -t {T}/ask -C 1 -i {ID}s2", "question\n\n"),
    ])

because("mosquitto_rr has the options for a message that mosquitto_pub has",
    "a question that is retained", [
        Exit("rr -t {T}/ask -e {T}/answer -m q -r -W 5", 0),
        Out("rr -t {T}/ask -e {T}/answer -m q -r -W 5", "a\n"),
        Err("rr -t {T}/ask -e {T}/answer -m q -r -W 5", ""),
        Out("sub -t {T}/ask -F '%r %p' -W 1", "1 q\n"),
    ])

because("2.0.11 ignores -R",
    "the answer was there before, -R", [
        Out("rr -t {T}/ask -e {T}/answer -m q -R -W 5", "new\n"),
    ])

because("these lines are those of 1.5",
    "-d and several filters", [
        Out("sub -d -t {T}/a -t {T}/b -q 1 -E",
            "Client IDs sending CONNECT\n"
            "Client IDs received CONNACK (0)\n"
            "Client IDs sending SUBSCRIBE (Mid: 1, Topic: T/a, QoS: 1)\n"
            "Client IDs sending SUBSCRIBE (Mid: 1, Topic: T/b, QoS: 1)\n"
            "Client IDs received SUBACK\n"
            "Subscribed (mid: 1): 1, 1\n"
            "Client IDs sending DISCONNECT\n"),
    ],
    "-d and -U", [
        Out("sub -d -t {T}/a -U {T}/b -E",
            "Client IDs sending CONNECT\n"
            "Client IDs received CONNACK (0)\n"
            "Client IDs sending SUBSCRIBE (Mid: 1, Topic: T/a, QoS: 0)\n"
            "Client IDs sending UNSUBSCRIBE (Mid: 2, Topic: T/b)\n"
            "Client IDs received SUBACK\n"
            "Subscribed (mid: 1): 0\n"
            "Client IDs sending DISCONNECT\n"),
    ],
    "-d and a denied subscription", [
        Out("sub -d -t {T}/x -u bob -P hidden -W 1",
            "Client IDs sending CONNECT\n"
            "Client IDs received CONNACK (0)\n"
            "Client IDs sending SUBSCRIBE (Mid: 1, Topic: T/x, QoS: 0)\n"
            "Client IDs received SUBACK\n"
            "Subscribed (mid: 1): 0\n"
            "Client IDs sending DISCONNECT\n"),
    ],
    "-d and keepalive", [
        Out("sub -d -t {T} -k 5 -W 7",
            "Client IDs sending CONNECT\n"
            "Client IDs received CONNACK (0)\n"
            "Client IDs sending SUBSCRIBE (Mid: 1, Topic: T, QoS: 0)\n"
            "Client IDs received SUBACK\n"
            "Subscribed (mid: 1): 0\n"
            "Client IDs sending PINGREQ\n"
            "Client IDs received PINGRESP\n"
            "Client IDs sending DISCONNECT\n"),
    ],
    "-d and a question", [
        Out("rr -d -t {T}/ask -e {T}/answer -q 1 -m hello",
            "Client IDr sending CONNECT\n"
            "Client IDr received CONNACK (0)\n"
            "Client IDr sending SUBSCRIBE (Mid: 1, Topic: T/answer, QoS: 1)\n"
            "Client IDr received SUBACK\n"
            "Client IDr sending PUBLISH (d0, q1, r0, m2, 'T/ask', ... (5 bytes))\n"
            "Client IDr received PUBACK (Mid: 2)\n"
            "Client IDr received PUBLISH (d0, q1, r0, m1, 'T/answer', ... (5 bytes))\n"
            "hello\n"
            "Client IDr sending PUBACK (Mid: 1)\n"
            "Client IDr sending DISCONNECT\n"),
    ],
    "-d and a stored session", [
        Out("sub -d -t {T} -c -q 1 -E",
            "Client IDs sending CONNECT\n"
            "Client IDs received CONNACK (0)\n"
            "Client IDs sending SUBSCRIBE (Mid: 1, Topic: T, QoS: 1)\n"
            "Client IDs received SUBACK\n"
            "Subscribed (mid: 1): 1\n"
            "Client IDs sending DISCONNECT\n"),
    ],
    "-d and --remove-retained", [
        Out("sub -d -t {T} --remove-retained -C 1 -W 2",
            "Client IDs sending CONNECT\n"
            "Client IDs received CONNACK (0)\n"
            "Client IDs sending SUBSCRIBE (Mid: 1, Topic: T, QoS: 0)\n"
            "Client IDs received SUBACK\n"
            "Subscribed (mid: 1): 0\n"
            "Client IDs received PUBLISH (d0, q0, r1, m0, 'T', ... (4 bytes))\n"
            "Client IDs sending PUBLISH (d0, q1, r1, m2, 'T', ... (0 bytes))\n"
            "kept\n"
            "Client IDs received PUBLISH (d0, q0, r0, m0, 'T', ... (0 bytes))\n"
            "Client IDs received PUBACK (Mid: 2)\n"
            "Client IDs sending DISCONNECT\n"),
    ],
    "-d and MQTT 3.1", [
        Out("pub -d -t {T} -m hello -V mqttv31 -q 1",
            "Client IDp sending CONNECT\n"
            "Client IDp received CONNACK (0)\n"
            "Client IDp sending PUBLISH (d0, q1, r0, m1, 'T', ... (5 bytes))\n"
            "Client IDp received PUBACK (Mid: 1)\n"
            "Client IDp sending DISCONNECT\n"),
    ])

because("-d shows what the library says",
    "-d and nobody there", [
        Out("pub -d -h 127.0.0.1 -p {DEAD} -t a -m b -i {ID}", "Unable to connect: Connection refused.\n"),
    ])

because("ids and lines are those of 1.5",
    "-d and an id that was made up", [
        Out("pub -d -h 127.0.0.1 -p {PORT} -t {T} -m a",
            "Client mosqpub|PID-HOST sending CONNECT\n"
            "Client mosqpub|PID-HOST received CONNACK (0)\n"
            "Client mosqpub|PID-HOST sending PUBLISH (d0, q0, r0, m1, 'T', ... (1 bytes))\n"
            "Client mosqpub|PID-HOST sending DISCONNECT\n"),
        Out("sub -d -h 127.0.0.1 -p {PORT} -t {T} -E",
            "Client mosqsub|PID-HOST sending CONNECT\n"
            "Client mosqsub|PID-HOST received CONNACK (0)\n"
            "Client mosqsub|PID-HOST sending SUBSCRIBE (Mid: 1, Topic: T, QoS: 0)\n"
            "Client mosqsub|PID-HOST received SUBACK\n"
            "Subscribed (mid: 1): 0\n"
            "Client mosqsub|PID-HOST sending DISCONNECT\n"),
        Out("rr -d -h 127.0.0.1 -p {PORT} -t {T} -e {T} -m a -V 311 -W 5",
            "Client mosqrr|PID-HOST sending CONNECT\n"
            "Client mosqrr|PID-HOST received CONNACK (0)\n"
            "Client mosqrr|PID-HOST sending SUBSCRIBE (Mid: 1, Topic: T, QoS: 0)\n"
            "Client mosqrr|PID-HOST received SUBACK\n"
            "Client mosqrr|PID-HOST sending PUBLISH (d0, q0, r0, m2, 'T', ... (1 bytes))\n"
            "Client mosqrr|PID-HOST received PUBLISH (d0, q0, r0, m0, 'T', ... (1 bytes))\n"
            "a\n"
            "Client mosqrr|PID-HOST sending DISCONNECT\n"),
    ])
