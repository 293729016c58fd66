# What is built in, and where it is installed.
#
# Say `make WITH_SOMETHING=no` on the command line, or edit the line here. The names are those
# that Mosquitto's packagers know. Changing one rebuilds what it touches.

# ---- Features of the broker -----------------------------------------------------------------

# Count every allocation, for memory_limit and the heap figures.
WITH_MEMORY_TRACKING := yes

# TLS, and the hashes of password files, by OpenSSL. Without it passwords are stored as they are.
WITH_TLS := yes

# TLS by pre-shared keys; needs WITH_TLS.
WITH_TLS_PSK := yes

# Passwords hashed by Argon2id, with libargon2; needs WITH_TLS.
WITH_ARGON2 := yes

# Make up client ids with libuuid. Without it they come from the system's random numbers alone.
WITH_UUID := yes

# Look up names by c-ares, SRV records as well: `bridge` addresses. Without it the C library does, in
# threads, and knows no SRV records.
WITH_SRV := yes

# Store sessions and messages on disk: `persistence true` in the configuration.
WITH_PERSISTENCE := yes

# The $SYS topics, which tell what the broker does: `sys_interval` in the configuration.
WITH_SYS_TREE := yes

# Bridges: connections to other brokers, `connection` in the configuration.
WITH_BRIDGE := yes

# Tell systemd that the broker is ready, reloads, stops and lives; install a unit file.
WITH_SYSTEMD := yes

# Listen at a path as well: `listener 0 /path` in the configuration.
WITH_UNIX_SOCKETS := yes

# Ask hosts.allow and hosts.deny about each client, as daemon "mosquitto" (TCP wrappers).
WITH_WRAP := yes

# Reach brokers through SOCKS5 proxies, in the client library.
WITH_SOCKS := yes

# The client library may be used by several threads at once, and has mosquitto_loop_start().
WITH_THREADING := yes

# ---- The build itself -----------------------------------------------------------------------

# Strip programs when they are installed.
WITH_STRIP := no

# Optimise across files when linking.
WITH_LTO := no

# Instrument for gcov; `make coverage` does this in a directory of its own.
WITH_COVERAGE := no

# Address sanitizer; `make asan` does this in a directory of its own.
WITH_ASAN := no

# Install the manual pages.
WITH_DOCS := yes

# The client library as libmosquitto.so.1, which the client programs then use; and as libmosquitto.a.
WITH_SHARED_LIBRARIES := yes
WITH_STATIC_LIBRARIES := no

# ---- Not in this release yet ----------------------------------------------------------------
# These are accepted, say so in one line, and change nothing.

WITH_CJSON := no
WITH_CONTROL := no
WITH_EC := no
WITH_EDITLINE := no
WITH_FUZZING := no
WITH_HTTP_API := no
WITH_JEMALLOC := no
WITH_OLD_KEEPALIVE := no
WITH_SQLITE := no
WITH_STRICT_PROTOCOL := no
WITH_WEBSOCKETS := no
WITH_XTREPORT := no

# ---- Names that mean nothing here -----------------------------------------------------------
# epoll is the only way that this broker waits; nothing is bundled; the cmocka tests need no
# gmock; there is no old database to upgrade with a separate program; and nobody ever waits for a
# name server, so ADNS has nothing to change.

WITH_ADNS := no
WITH_BUNDLED_DEPS := no
WITH_DB_UPGRADE := no
WITH_EPOLL := yes
WITH_GMOCK := no

# ---- Which switch selects which file --------------------------------------------------------
# A feature is a file with a twin in the same room: `yes` builds X.c, `no` builds X_none.c.

TWINS := \
	BRIDGE:src/core/bridges \
	BRIDGE:src/server/dial \
	MEMORY_TRACKING:lib/base/mem_track \
	PERSISTENCE:src/server/disk \
	SOCKS:lib/net/socks5 \
	SRV:lib/net/resolve \
	SYS_TREE:src/core/sys \
	SYSTEMD:src/server/systemd \
	THREADING:lib/client/thread \
	ARGON2:src/auth/argon2id \
	TLS:lib/client/user_ctx \
	TLS:lib/net/tls \
	TLS:lib/net/tls_ctx \
	TLS:src/auth/pwdigest \
	TLS:src/bench/tls \
	TLS_PSK:lib/net/tls_psk \
	UNIX_SOCKETS:lib/net/unix \
	UUID:src/server/entropy \
	WRAP:src/server/wrap

# Files that only the file of a twin needs: without the feature they are not built.
FEATURE_FILES := \
	BRIDGE:src/core/bridge \
	BRIDGE:src/core/bridge_session \
	BRIDGE:src/core/bridge_speak \
	BRIDGE:src/core/circle \
	BRIDGE:src/core/on_bridge \
	BRIDGE:src/server/lookups \
	BRIDGE:test/unit/test_bridge \
	BRIDGE:test/unit/test_bridge_keys \
	BRIDGE:test/unit/test_bridge_sim \
	BRIDGE:test/unit/test_dial \
	PERSISTENCE:src/server/disk_fetch \
	PERSISTENCE:src/server/disk_import \
	PERSISTENCE:src/server/disk_place \
	PERSISTENCE:src/server/disk_thread \
	PERSISTENCE:src/server/disk_trouble \
	SOCKS:test/fuzz/fuzz_socks5 \
	SOCKS:test/unit/test_socks5 \
	SRV:lib/net/dns \
	SRV:lib/net/resolve_answers \
	SRV:lib/net/resolve_asker \
	SRV:lib/net/resolve_steps \
	SRV:test/fuzz/fuzz_dns \
	SRV:test/unit/test_dns \
	TLS:lib/net/tls_client \
	TLS:lib/net/tls_files \
	TLS:lib/net/tls_inside \
	TLS:lib/net/tls_ocsp \
	TLS:lib/net/tls_verdict \
	TLS:lib/net/tls_wire \
	TLS:lib/net/tls_words \
	TLS:test/fuzz/fuzz_tls \
	TLS:test/unit/certs \
	TLS:test/unit/test_client_dial_tls \
	TLS:test/unit/memwire \
	TLS:test/unit/test_tls \
	TLS:test/unit/test_bridge_keys \
	TLS:test/unit/test_tls_client \
	TLS:test/unit/test_tls_ctx

# Libraries that a feature brings along.
LIBS_ARGON2 := -largon2
LIBS_SRV := -lcares
LIBS_SYS_TREE := -lm
LIBS_TLS := -lssl -lcrypto
LIBS_UUID := -luuid
LIBS_WRAP := -lwrap

SWITCHES_FEATURE := ARGON2 BRIDGE MEMORY_TRACKING PERSISTENCE SOCKS SRV SYSTEMD SYS_TREE THREADING TLS TLS_PSK UNIX_SOCKETS UUID WRAP
SWITCHES_BUILD   := STRIP LTO COVERAGE ASAN DOCS SHARED_LIBRARIES STATIC_LIBRARIES
SWITCHES_LATER   := CJSON CONTROL EC EDITLINE FUZZING HTTP_API JEMALLOC \
	OLD_KEEPALIVE SQLITE STRICT_PROTOCOL WEBSOCKETS XTREPORT
SWITCHES_NONE    := ADNS BUNDLED_DEPS DB_UPGRADE EPOLL GMOCK

# ---- Compilers ------------------------------------------------------------------------------

ifeq ($(origin CC),default)
CC := gcc
endif
CFLAGS ?= -O2 -g
STRIP  ?= strip
OBJCOPY ?= objcopy

# ---- Where things are installed -------------------------------------------------------------

prefix     ?= /usr/local
bindir     ?= $(prefix)/bin
sbindir    ?= $(prefix)/sbin
libdir     ?= $(prefix)/lib
includedir ?= $(prefix)/include
mandir     ?= $(prefix)/share/man
unitdir    ?= $(prefix)/lib/systemd/system
sysconfdir ?= /etc/mosquitto
DESTDIR    ?=
# From bindir to libdir: where installed client programs look for the library first.
RELATIVE_LIBDIR = $(shell realpath -m --relative-to='$(bindir)' '$(libdir)')
