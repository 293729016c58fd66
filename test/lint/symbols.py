"""
What the compiled rooms ask of the world, and what they keep for themselves.

  symbols.py calls OBJ-DIR OBJECTS...     no room calls what it may not
  symbols.py globals OBJ-DIR OBJECTS...   base, mqtt, net, auth, core and store have no mutable globals

The core and what is below it get time, chance, bytes and memory handed to them: this is what makes them
repeatable in the simulator. Only symbols tell the truth here; macros and headers hide calls from a reader.
"""

import re
import subprocess
import sys

IO = """socket socketpair bind listen accept accept4 connect shutdown send sendto sendmsg sendmmsg recv
    recvfrom recvmsg recvmmsg getaddrinfo poll ppoll select pselect epoll_create epoll_create1 epoll_ctl
    epoll_wait epoll_pwait eventfd signalfd timerfd_create pipe pipe2 ioctl fcntl fcntl64 dup dup2""".split()
FILES = """open open64 openat openat64 creat close read pread pread64 readv write pwrite pwrite64 writev
    lseek lseek64 fopen fopen64 fdopen freopen fclose fread fwrite fgets getline rename renameat unlink
    unlinkat remove mkdir mkstemp mkstemp64 mkostemp mkostemp64 tmpfile fsync fdatasync ftruncate
    ftruncate64 stat stat64 fstat fstat64 lstat lstat64 opendir readdir readdir64 closedir scandir
    scandir64""".split()
OUTPUT = """printf vprintf fprintf vfprintf dprintf vdprintf puts putchar putc fputc fputs perror stdout
    stderr stdin syslog openlog""".split()
CLOCK = """time gettimeofday clock_gettime clock times localtime localtime_r gmtime gmtime_r ctime strftime
    sleep usleep nanosleep clock_nanosleep alarm setitimer""".split()
CHANCE = """rand srand rand_r random srandom drand48 lrand48 getrandom getentropy arc4random
    uuid_generate uuid_generate_random""".split()
SURROUNDINGS = """getenv secure_getenv setenv getpid gethostname getuid geteuid getpwnam exit _exit _Exit
    quick_exit signal sigaction kill raise fork vfork execve posix_spawn pthread_create pthread_mutex_lock
    setlocale""".split()
MEMORY = """malloc calloc realloc reallocarray free strdup strndup asprintf vasprintf aligned_alloc
    posix_memalign memalign valloc mmap mmap64 munmap brk sbrk""".split()
# Nobody may: no bounds, no reentrancy, a shell, or a stack that grows with the input.
UNSAFE = """gets strcpy strcat stpcpy sprintf vsprintf strtok system popen alloca tmpnam mktemp
    inet_ntoa asctime atoi atol""".split()

PURE = set(IO + FILES + OUTPUT + CLOCK + CHANCE + SURROUNDINGS + MEMORY + UNSAFE)
FORBIDDEN = {
    "base": PURE,
    "mqtt": PURE,
    "core": PURE,
    "auth": PURE - set(FILES),
    "store": PURE,
    "conf": PURE - set(FILES),
    "net": set(FILES + OUTPUT + CLOCK + CHANCE + SURROUNDINGS + MEMORY + UNSAFE) - {
        "close", "read", "readv", "write", "writev", "unlink", "stat", "lstat"},
    "server": set(MEMORY + UNSAFE) - {"mmap", "mmap64", "munmap"},
}
# The files whose purpose it is.
MAY_CALL = {
    "base/file": set(FILES),
    "base/mem": set(MEMORY),
    "base/mem_track": set(MEMORY),
    "base/mem_track_none": set(MEMORY),
    "base/slab": {"mmap", "mmap64", "munmap"},
    "conf/expand": {"getenv"},
    # A look-up has an end; the C library's have a thread each.
    "net/resolve": {"clock_gettime"},
    "net/resolve_none": {"clock_gettime", "pthread_create", "pthread_mutex_lock"},
}

STATELESS = {"base", "mqtt", "net", "auth", "core", "store"}
# The counters of the allocator, one set for each thread.
MAY_KEEP = {"base/mem", "base/mem_track"}


def rooms(directory, objects):
    for path in objects:
        parts = path.removeprefix(directory.rstrip("/") + "/").removesuffix(".o").split("/")
        if len(parts) == 3:
            yield path, parts[1], f"{parts[1]}/{parts[2]}"


def plain(symbol):
    """The name that was written: glibc's checked and renamed variants count as what they stand for."""
    symbol = symbol.split("@")[0]
    match = re.fullmatch(r"__(?:isoc99_|isoc23_)?(\w+?)(?:_chk|_2)?", symbol)
    return match.group(1) if match and symbol.startswith("__") else symbol


def forbidden_calls(path, room, unit):
    forbidden = FORBIDDEN.get(room, set()) - MAY_CALL.get(unit, set())
    out = subprocess.run(["nm", "-u", path], check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        symbol = line.split()[-1]
        if plain(symbol) in forbidden:
            yield f"{unit}.c may not use {plain(symbol)}"


def mutable_globals(path, room, unit):
    if room not in STATELESS or unit in MAY_KEEP:
        return
    out = subprocess.run(["objdump", "-t", path], check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        match = re.match(r"[0-9a-f]+ (.{7}) (\S+)\s+([0-9a-f]+) (?:\.hidden )?(\S+)$", line)
        if not match or "d" in match.group(1) or match.group(2) == match.group(4):
            continue
        section, name = match.group(2), match.group(4)
        # .data.rel.ro is constant once the program is loaded: tables of pointers.
        kept = section == "*COM*" or re.match(r"\.t?(data|bss)", section)
        if kept and not section.startswith(".data.rel.ro"):
            yield f"{unit}.c keeps {name} between calls ({section})"


def main():
    check = {"calls": forbidden_calls, "globals": mutable_globals}[sys.argv[1]]
    problems = []
    for path, room, unit in rooms(sys.argv[2], sys.argv[3:]):
        problems += check(path, room, unit)
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main())
