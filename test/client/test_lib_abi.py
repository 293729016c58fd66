"""libmosquitto.so.1 as programs see it that were compiled long ago: symbols with their versions, numbers, layouts.

The distribution's library and headers (libmosquitto-dev) are the measure. Its library has no debug information, so layouts
are compared by what compilers make of the headers.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest
from broker_process import ROOT, sanitized
from foreign import need
from lib_programs import SOURCES, is_ours, library, sanitizers

INCLUDE = ROOT / "include"
HEADERS = ("mosquitto.h", "mqtt_protocol.h")
THEIR_INCLUDE = Path("/usr/include")
MAP = ROOT / "lib" / "client" / "libmosquitto.map"
PUBLIC = 107

needs_headers = pytest.mark.skipif(not all((THEIR_INCLUDE / name).exists() for name in HEADERS),
                                   reason="libmosquitto-dev is not installed")


def output(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


def compiles(*command, source=None):
    output(*command, "-pedantic", "-Wall", "-Wextra", "-Werror", input=source)


def their_library():
    """Where the loader finds libmosquitto.so.1 without our help."""
    for line in output("/sbin/ldconfig", "-p").splitlines():
        if line.split()[0] == "libmosquitto.so.1":
            return Path(line.split()[-1])
    pytest.skip("the distribution's libmosquitto1 is not installed")


def exported(path):
    """Names with their versions."""
    lines = output("nm", "-D", "--defined-only", "--with-symbol-versions", path).splitlines()
    return {line.split()[2]: line.split()[1] for line in lines}


def mapped():
    """The same, from the map that the library is linked with."""
    found, node = {}, None
    for word in re.findall(r"MOSQ_[\d.]+(?= \{)|mosquitto_\w+(?=;)", MAP.read_text()):
        if word.startswith("MOSQ_"):
            node = word
        else:
            found[f"{word}@@{node}"] = "T"
    return found


def public_names():
    return sorted(symbol.split("@")[0] for symbol in mapped())


# --- symbols --------------------------------------------------------------------------------------


def test_what_the_map_names_is_exported_and_nothing_else():
    nodes = {name for name in exported(library()) if name.startswith("MOSQ_")}
    functions = {name: kind for name, kind in exported(library()).items() if name not in nodes}
    assert functions == mapped()
    assert len(functions) == PUBLIC


def test_symbols_and_versions_are_theirs():
    assert exported(library()) == exported(their_library())


def test_abidiff_finds_nothing_missing():
    found = output(need("abidiff"), "--no-added-syms", their_library(), library())
    assert re.search(r"Functions changes summary: 0 Removed, 0 Changed", found) or not found, found


def test_abidw_reads_the_library():
    found = output(need("abidw"), "--no-corpus-path", library())
    names = re.findall(r"<elf-symbol name='(mosquitto_\w+)'", found)
    assert sorted(set(names)) == public_names()


def test_its_name_is_what_programs_ask_for():
    dynamic = output("readelf", "-dW", library())
    assert "Library soname: [libmosquitto.so.1]" in dynamic
    assert "(TEXTREL)" not in dynamic


@pytest.mark.skipif(sanitized(), reason="a sanitizer brings calls of its own")
def test_it_neither_prints_nor_takes_signals_nor_ends_the_program():
    calls = {line.split()[-1].split("@")[0] for line in output("nm", "-D", "-u", library()).splitlines()}
    never = {"select", "pselect", "signal", "sigaction", "printf", "__printf_chk", "puts", "putchar", "stdout", "exit",
             "_exit", "system", "pthread_cancel", "pthread_kill", "setlocale", "rand", "srand"}
    assert calls & never == set()


# --- headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("compilers, language, standard", [
    (pair, language, standard)
    for pair in (("gcc", "g++"), ("clang-14", "clang++-14"))
    for language, standard in (("c", "c99"), ("c", "c11"), ("c++", "c++98"), ("c++", "c++17"))
])
def test_headers_are_valid(compilers, language, standard):
    compiler = need(compilers[0 if language == "c" else 1])
    for order in (HEADERS, HEADERS[::-1]):
        source = "".join(f"#include <{name}>\n" for name in (*order, *order))
        compiles(compiler, "-fsyntax-only", f"-x{language}", f"-std={standard}", f"-I{INCLUDE}", "-Wold-style-definition"
                 if language == "c" else "-Wold-style-cast", "-", source=source + "int main(void) { return 0; }\n")


def without_comments(path):
    return re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)


def prototypes(path):
    """Declarations of functions, by their names."""
    text = re.sub(r"^#(?:[^\n]*\\\n)*[^\n]*$", "", without_comments(path), flags=re.M)
    found = re.findall(r"\blibmosq_EXPORT\s+([^;]+);", text)
    return {re.search(r"(mosquitto_\w+) ?\(", part)[1]: re.sub(r"\s+", " ", part) for part in found}


def test_every_function_of_the_map_is_declared():
    assert sorted(prototypes(INCLUDE / "mosquitto.h")) == public_names()


@needs_headers
def test_prototypes_are_theirs():
    """A declaration that differs from an earlier one does not compile."""
    theirs = prototypes(THEIR_INCLUDE / "mosquitto.h")
    assert sorted(theirs) == public_names()
    source = '#include "mosquitto.h"\n' + "".join(f"{text};\n" for text in theirs.values())
    for compiler in ("gcc", "clang-14"):
        compiles(need(compiler), "-std=c17", f"-I{INCLUDE}", "-fsyntax-only", "-xc", "-", source=source)


@pytest.mark.parametrize("include", [
    pytest.param(INCLUDE, id="ours"), pytest.param(THEIR_INCLUDE, id="theirs", marks=needs_headers)])
def test_numbers_and_layouts_are_what_they_always_were(include, tmp_path):
    compiles("gcc", "-std=c17", f"-I{include}", "-c", "-o", tmp_path / "abi.o", SOURCES / "abi.c")


def constants(directory):
    """Names of all enumerators and of all macros with a value."""
    text = "".join(without_comments(directory / name) for name in HEADERS)
    macros = re.findall(r"^#\s*define (\w+)[ \t]+[^\s]", text, re.M)
    bodies = re.findall(r"enum \w+ ?\{(.*?)\}", text, re.S)
    names = {name for body in bodies for name in re.findall(r"(\w+) = ", body)}
    return names | {name for name in macros if name != "libmosq_EXPORT" and not name.startswith("bool")}


def values(directory, names, tmp_path):
    """What a program says that was compiled with these headers."""
    lines = "".join(f'    SAY("{name}", {name});\n' for name in sorted(names))
    source = tmp_path / "values.c"
    source.write_text(
        f'#include "{directory}/mosquitto.h"\n#include "{directory}/mqtt_protocol.h"\n#include <stdio.h>\n'
        "#define SAY(name, v) printf(_Generic((v), char *: \"%s %s\\n\", default: \"%s %lld\\n\"), name, \\\n"
        "    _Generic((v), char *: (v), default: (long long)(v)))\n"
        f"int main(void)\n{{\n{lines}    return 0;\n}}\n")
    program = tmp_path / "values"
    output("gcc", "-std=c17", "-w", "-o", program, source)
    return dict(line.split(" ", 1) for line in output(program).splitlines())


@needs_headers
def test_constants_are_theirs(tmp_path):
    names = constants(THEIR_INCLUDE) - {"true", "false"}
    assert len(names) > 150
    ours, theirs = (values(place, names, tmp_path) for place in (INCLUDE, THEIR_INCLUDE))
    differing = {name for name in theirs if ours[name] != theirs[name]}
    # The level of the interface is 2.0; which of its patches, it does not say.
    assert differing <= {"LIBMOSQUITTO_REVISION", "LIBMOSQUITTO_VERSION_NUMBER"}
    assert ours["LIBMOSQUITTO_VERSION_NUMBER"] == "2000000"


# --- what is said of them -------------------------------------------------------------------------


def test_every_function_has_a_comment():
    text = (INCLUDE / "mosquitto.h").read_text()
    bare = [match[1] for match in re.finditer(r"(?<!\*/\n)^libmosq_EXPORT[^;]*?(mosquitto_\w+)\(", text, re.M)]
    assert bare == []


def test_every_function_is_in_the_manual():
    text = (ROOT / "man" / "libmosquitto.3").read_text()
    assert set(public_names()) - set(re.findall(r"^\.It Fn (mosquitto_\w+)", text, re.M)) == set()
    assert set(re.findall(r"\bmosquitto_\w+_(?:set|new|loop)\b", text)) <= set(public_names())


# --- the static library ---------------------------------------------------------------------------

# Names that the library has inside, as those of somebody else.
STRANGER = """\
#include <mosquitto.h>

#include <stdio.h>

int buf_add(void);
int log_line(void);
int table_find(void);
int engine_new(void);
int mem_alloc(void);

int buf_add(void)
{
    return 1;
}
int log_line(void)
{
    return 2;
}
int table_find(void)
{
    return 3;
}
int engine_new(void)
{
    return 4;
}
int mem_alloc(void)
{
    return 5;
}

int main(void)
{
    mosquitto_lib_init();
    struct mosquitto *m = mosquitto_new(NULL, true, NULL);
    if (!m || mosquitto_username_pw_set(m, "u", "p"))
        return 1;
    printf("%d\\n", buf_add() + log_line() + table_find() + engine_new() + mem_alloc());
    mosquitto_destroy(m);
    return mosquitto_lib_cleanup();
}
"""


@pytest.fixture(scope="module")
def static_library(tmp_path_factory):
    if sanitizers(library()) or not is_ours():
        pytest.skip("of a plain build")
    build = tmp_path_factory.mktemp("static")
    output("make", "--no-print-directory", "-C", ROOT, f"BUILD={build}", "CFLAGS=-O0", build / "libmosquitto.a",
           env={**os.environ, "MAKEFLAGS": "", "MAKELEVEL": "1"}, timeout=300)
    return build / "libmosquitto.a"


@pytest.mark.slow
def test_a_static_library_shows_public_names_only(static_library):
    lines = output("nm", "-g", "--defined-only", static_library).splitlines()
    assert sorted(line.split()[-1] for line in lines if len(line.split()) == 3) == public_names()


@pytest.mark.slow
def test_a_program_may_have_names_that_the_static_library_has_inside(static_library, tmp_path):
    (tmp_path / "stranger.c").write_text(STRANGER)
    output("gcc", f"-I{INCLUDE}", "-Wall", "-Wextra", "-Werror", "-o", tmp_path / "stranger", tmp_path / "stranger.c",
           static_library, "-lssl", "-lcrypto", "-lcares", "-lpthread")
    assert output(tmp_path / "stranger") == "15\n"
