# The whole build, in one file.
#
# Two commands are enough for a newcomer: `make run` and `make test`. `make help` lists the others.
# Sources are found by wildcard, so a new file in a room is built without touching this file.
# Everything that is made goes into $(BUILD); other variants have directories of their own:
#
#   make BUILD=build/asan SAN=address,undefined

include config.mk

BUILD  ?= build
SAN    ?=
WERROR ?= no
PORT   ?= 1883
PYTHON := /usr/bin/python3

# Found here and not in recipes, so that a run says at once which tool it would use.
CLANG        ?= $(shell command -v clang-14 || echo clang)
CLANG_FORMAT ?= $(shell command -v clang-format-14 || echo clang-format)
CLANG_TIDY   ?= $(shell command -v clang-tidy-14 || echo clang-tidy)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

ifeq ($(V),1)
Q :=
else
Q := @
endif

# A make that was not told how many jobs to run uses every processor for the inner one.
JOBS = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))
SUBMAKE = $(MAKE) --no-print-directory

# ---- Switches -------------------------------------------------------------------------------

SWITCHES_ALL := $(SWITCHES_FEATURE) $(SWITCHES_BUILD) $(SWITCHES_LATER) $(SWITCHES_NONE)

# The known switch that shares most letters and pairs of letters with $(1).
nearest = $(shell printf '%s\n' $(addprefix WITH_,$(SWITCHES_ALL)) | awk -v w='$(1)' '\
	function near(a, b,    i, n) { n = 0; \
		for (i = 6; i <= length(a); i++) { if (index(substr(b, 6), substr(a, i, 1))) n++; \
			if (i < length(a) && index(substr(b, 6), substr(a, i, 2))) n += 2 } \
		return n - (length(a) > length(b) ? length(a) - length(b) : length(b) - length(a)); } \
	{ s = near(w, $$0) + near($$0, w); if (NR == 1 || s > best) { best = s; name = $$0 } } \
	END { print name }')

define check_known
ifeq ($$(filter $(1:WITH_%=%),$$(SWITCHES_ALL)),)
$$(error There is no switch $(1); the nearest name is $$(call nearest,$(1)). config.mk lists all)
endif
endef
given = $(foreach v,$(filter WITH_%,$(.VARIABLES)),$(if $(filter command%,$(origin $(v))),$(v)))
$(foreach v,$(given),$(eval $(call check_known,$(v))))

define check_value
ifeq ($$(filter yes no,$$(WITH_$(1))),)
$$(error WITH_$(1) is yes or no, not "$$(WITH_$(1))")
endif
endef
$(foreach s,$(SWITCHES_FEATURE) $(SWITCHES_BUILD),$(eval $(call check_value,$(s))))

# Pre-shared keys are a way of TLS; random numbers and base64 for Argon2id come from its library.
ifneq ($(WITH_TLS),yes)
override WITH_TLS_PSK := no
override WITH_ARGON2 := no
endif

# Inner makes inherit the switches; the outermost one has already said it.
ifeq ($(MAKELEVEL),0)
later = $(foreach s,$(SWITCHES_LATER),$(if $(filter-out no,$(WITH_$(s))),WITH_$(s)=$(WITH_$(s))))
$(foreach s,$(later),$(info $(s): this feature is not in this release yet; the build goes on without it))
ifneq ($(WITH_EPOLL),yes)
$(info WITH_EPOLL=$(WITH_EPOLL): epoll is the only way that this broker waits; it stays built in)
endif
none = $(foreach s,$(filter-out EPOLL,$(SWITCHES_NONE)),$(if $(filter-out no,$(WITH_$(s))),WITH_$(s)))
$(foreach s,$(none),$(info $(s): means nothing here; ignored))
endif

FEATURES_ON  := $(foreach s,$(SWITCHES_FEATURE),$(if $(filter yes,$(WITH_$(s))),$(s)))
FEATURE_DEFS := $(foreach s,$(FEATURES_ON),-DWITH_$(s))

# ---- Sources --------------------------------------------------------------------------------

# Of each pair of twins the one that is not built.
twin_file    = $(lastword $(subst :, ,$(1)))
twin_on      = $(filter yes,$(WITH_$(firstword $(subst :, ,$(1)))))
TWINS_OUT   := $(foreach t,$(TWINS),$(call twin_file,$(t))$(if $(call twin_on,$(t)),_none,).c)
TWINS_OUT   += $(foreach t,$(FEATURE_FILES),$(if $(call twin_on,$(t)),,$(call twin_file,$(t)).c))
TWINS_NONE  := $(foreach t,$(TWINS),$(call twin_file,$(t))_none.c)

LIB_FOUND := $(sort $(wildcard lib/base/*.c lib/mqtt/*.c lib/net/*.c lib/client/*.c))
SRC_FOUND := $(sort $(wildcard src/conf/*.c src/auth/*.c src/core/*.c src/store/*.c src/server/*.c))
STRAY     := $(filter-out $(TWINS_NONE),$(filter %_none.c,$(LIB_FOUND) $(SRC_FOUND)))
ifneq ($(STRAY),)
$(error $(STRAY): a twin that no switch selects; name it in TWINS of config.mk)
endif

# The client library is all of lib; what the broker uses of it has nothing of the client.
LIBRARY_C := $(filter-out $(TWINS_OUT),$(LIB_FOUND))
CLIENT_C  := $(filter lib/client/%,$(LIBRARY_C))
LIB_C     := $(filter-out $(CLIENT_C),$(LIBRARY_C))
SRC_C   := $(filter-out $(TWINS_OUT),$(SRC_FOUND))
MAIN_C  := $(wildcard src/main.c)
BENCH_C := $(filter-out $(TWINS_OUT),$(wildcard src/bench/*.c))
# Without a store there is nothing to look into.
DUMP_C  := $(if $(filter yes,$(WITH_PERSISTENCE)),$(wildcard src/tools/db_dump.c src/tools/db_dump_*.c))
PASSWD_C := $(wildcard src/tools/passwd.c src/tools/passwd_*.c)
# The client programs, and what they have in common.
CLIENTS  := $(foreach p,pub sub rr,$(if $(wildcard src/clients/$(p).c),$(p)))
PUB_C    := $(wildcard src/clients/pub.c src/clients/pub_*.c)
SUB_C    := $(wildcard src/clients/sub.c src/clients/sub_*.c)
RR_C     := $(wildcard src/clients/rr.c src/clients/rr_*.c)
COMMON_C := $(filter-out $(PUB_C) $(SUB_C) $(RR_C),$(wildcard src/clients/*.c))
CLIENTS_C := $(PUB_C) $(SUB_C) $(RR_C) $(COMMON_C)

UNIT_C    := $(filter-out $(TWINS_OUT),$(sort $(wildcard test/unit/test_*.c)))
UNITLIB_C := $(filter-out $(TWINS_OUT) test/unit/test_%,$(sort $(wildcard test/unit/*.c)))
SIM_C     := $(sort $(wildcard test/sim/*.c))
# Brokers linked by bridges: a simulator of its own, which shares a few files with the other.
SIMBRIDGE_C  := $(sort $(wildcard test/sim/bridge/*.c))
SIM_SHARED_C := test/sim/runner.c test/sim/trace.c test/sim/util.c
FUZZ_C    := $(filter-out $(TWINS_OUT),$(sort $(wildcard test/fuzz/fuzz_*.c)))
FUZZLIB_C := $(filter-out test/fuzz/fuzz_%,$(sort $(wildcard test/fuzz/*.c)))
# What the benchmarks compare with: not a part of the product.
RELAY_C   := test/bench/relay.c

HEADERS   := $(sort $(wildcard include/*.h lib/*/*.h src/*/*.h))
PRODUCT_C := $(LIBRARY_C) $(SRC_C) $(MAIN_C) $(BENCH_C) $(DUMP_C) $(PASSWD_C) $(CLIENTS_C)
TEST_C    := $(UNIT_C) $(UNITLIB_C) $(SIM_C) $(SIMBRIDGE_C) $(FUZZ_C) $(FUZZLIB_C) $(RELAY_C)

object = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
BODY_O    := $(call object,$(LIB_C) $(SRC_C))
LIBRARY_O := $(call object,$(LIBRARY_C))

# ---- Flags ----------------------------------------------------------------------------------

INCLUDES := -Ilib -Isrc -Iinclude
STANDARD := -std=c17 -D_GNU_SOURCE
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
ifeq ($(WERROR),yes)
WARNINGS += -Werror
endif

# What hardens a release build gets in the way of the sanitizers.
ifeq ($(WITH_ASAN),yes)
SAN := $(if $(SAN),$(SAN),address)
endif
ifeq ($(SAN),)
HARDEN := -fstack-protector-strong
ifneq ($(filter -O1 -O2 -O3 -Os,$(CFLAGS)),)
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif
HARDEN_LD := -Wl,-z,relro,-z,now
else
HARDEN    := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
HARDEN_LD := -fsanitize=$(SAN)
endif

EXTRA :=
ifeq ($(WITH_LTO),yes)
EXTRA += $(if $(findstring clang,$(CC)),-flto,-flto=auto)
endif
ifeq ($(WITH_COVERAGE),yes)
EXTRA += --coverage -O0 -U_FORTIFY_SOURCE
endif

# The fuzzers are this same tree, built by an inner make with clang into a directory of its own.
FUZZING ?= no
ifeq ($(FUZZING),yes)
EXTRA     += -fsanitize=fuzzer-no-link
HARDEN_LD += -fsanitize=fuzzer
endif

ALL_CFLAGS  = $(STANDARD) $(INCLUDES) $(WARNINGS) -fvisibility=hidden $(HARDEN) $(CPPFLAGS) \
	$(CFLAGS) $(EXTRA)
ALL_LDFLAGS = -pie -Wl,--as-needed $(HARDEN_LD) $(CFLAGS) $(EXTRA) $(LDFLAGS)
LIBRARY_LIBS = $(LIBS_TLS:%=$(if $(filter yes,$(WITH_TLS)),%)) $(if $(filter yes,$(WITH_SRV)),$(LIBS_SRV)) -lpthread $(LDLIBS)
ALL_LIBS    = $(sort $(foreach s,$(FEATURES_ON),$(LIBS_$(s)))) -lpthread $(LDLIBS)

# Files that hold the flags and the list of objects of the last run: they change only when
# their text does, and what depends on them is made again then.
FLAGS_STAMP := $(BUILD)/obj/flags
LINK_STAMP  := $(BUILD)/obj/link
FLAGS_TEXT   = $(CC) $(ALL_CFLAGS) $(FEATURE_DEFS)
LINK_TEXT    = $(CC) $(ALL_LDFLAGS) $(ALL_LIBS) $(call object,$(PRODUCT_C) $(TEST_C))

define write_if_changed
@mkdir -p $(@D)
@printf '%s\n' '$(1)' | cmp -s - $@ || printf '%s\n' '$(1)' > $@
endef

# ---- Programs -------------------------------------------------------------------------------

PROGRAMS := $(if $(MAIN_C),$(BUILD)/mosquitto) $(if $(filter %/bench.c,$(BENCH_C)),$(BUILD)/mosquitto_bench) \
	$(if $(DUMP_C),$(BUILD)/mosquitto_db_dump) $(BUILD)/mosquitto_passwd \
	$(CLIENTS:%=$(BUILD)/mosquitto_%)
LIBRARY_SO := $(if $(filter yes,$(WITH_SHARED_LIBRARIES)),$(BUILD)/libmosquitto.so.1)
LIBRARY_A  := $(if $(filter yes,$(WITH_STATIC_LIBRARIES)),$(BUILD)/libmosquitto.a)
UNITS    := $(patsubst test/unit/%.c,$(BUILD)/unit/%,$(UNIT_C))
SIM      := $(BUILD)/sim $(if $(filter yes,$(WITH_BRIDGE)),$(BUILD)/sim_bridge)
FUZZERS  := $(patsubst test/fuzz/%.c,$(BUILD)/%,$(FUZZ_C))

.PHONY: all run test check unit sim fuzz fuzz-corpus pytest lint format asan switches coverage \
	bench bench-bridge bench-gates bench-crowd bench-results statements install uninstall clean help \
	units fuzzers lint-headers lint-tidy FORCE

all: $(PROGRAMS) $(LIBRARY_SO) $(LIBRARY_A)

help:
	@printf '%s\n' \
	  'make run [PORT=1883]   build, start a broker that this machine alone can reach' \
	  'make test              all tests; the last line counts them (PARTS="unit lint": some)' \
	  'make                   build/mosquitto, mosquitto_pub, _sub, _rr, _passwd, _bench, _db_dump, libmosquitto.so.1' \
	  'make unit sim fuzz pytest lint     one part of the tests' \
	  '    SEED= STEPS= SECONDS=          which simulation to run; SEED replays one exactly' \
	  '    FUZZ_SECONDS=10                how long to fuzz, over all fuzzers' \
	  '    TESTS= PYTEST_ARGS=            which black-box tests to run, and how' \
	  'make asan              unit, sim and pytest with address and undefined sanitizers' \
	  'make switches          build and unit tests with each WITH_* turned over, and with clang' \
	  'make coverage          which lines the tests reach' \
	  'make bench             what messages cost, beside the distribution'\''s broker and the floor (BENCH_ARGS=)' \
	  'make bench-gates       system calls and instructions per message: figures without noise' \
	  'make bench-crowd       is a pair held up by a million others? (BENCH_ARGS="--list")' \
	  'make bench-results     these three, into test/bench/RESULTS.md' \
	  'make bench-bridge      what a bridge carries, beside two of the distribution'\''s brokers' \
	  'make statements        statements of the MQTT standard and the tests that cover them' \
	  'make fuzz-corpus       keep what fuzzing found in test/fuzz/corpus' \
	  'make format            let clang-format settle whitespace' \
	  'make compile_commands.json         for editors' \
	  'make install [DESTDIR= prefix=/usr/local]    make uninstall    make clean' \
	  'V=1 shows commands; BUILD=, CC=clang, CFLAGS=, SAN=, WERROR=yes and the WITH_* of config.mk'

$(FLAGS_STAMP): FORCE
	$(call write_if_changed,$(FLAGS_TEXT))

$(LINK_STAMP): FORCE
	$(call write_if_changed,$(LINK_TEXT))

$(BUILD)/obj/lib/%: PIC := -fPIC
$(BUILD)/obj/src/%: PIC := -fPIE
$(BUILD)/obj/test/%: PIC := -fPIE -Itest
$(BUILD)/obj/lib/base/feature.o: PIC += $(FEATURE_DEFS)

$(BUILD)/obj/%.o: %.c $(FLAGS_STAMP)
	@mkdir -p $(@D)
	@$(if $(Q),echo '  CC    $<')
	$(Q)$(CC) $(ALL_CFLAGS) $(PIC) -MMD -MP -c -o $@ $<

define link
@mkdir -p $(@D)
@$(if $(Q),echo '  LD    $@')
$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) $(ALL_LIBS) $(1)
endef

$(BUILD)/mosquitto: $(call object,$(MAIN_C)) $(BODY_O) $(LINK_STAMP)
	$(call link)

$(BUILD)/mosquitto_bench: $(call object,$(BENCH_C)) $(LINK_STAMP)
	$(call link,-lm)

# It reads a store with the broker's own code, but has nothing of the server.
$(BUILD)/mosquitto_db_dump: $(call object,$(DUMP_C) $(LIB_C) $(filter-out src/server/%,$(SRC_C))) $(LINK_STAMP)
	$(call link,-lcjson)

# Hashes, the lines of a password file, and what these stand on.
PASSWD_BODY_C := $(filter lib/base/% lib/mqtt/utf8.c src/auth/pwhash.c src/auth/pwline.c \
	src/auth/pwdigest% src/auth/argon2id%,$(LIB_C) $(SRC_C))
$(BUILD)/mosquitto_passwd: $(call object,$(PASSWD_C) $(PASSWD_BODY_C)) $(LINK_STAMP)
	$(call link)

# The version of Mosquitto's library whose calls this one has, as programs ask for it.
LIBRARY_VERSION = $(shell awk '/define LIBMOSQUITTO_(MAJOR|MINOR|REVISION)/ { v = v s $$3; s = "." } END { print v }' include/mosquitto.h)

# Symbol versions come from the map; what it does not name stays inside.
LIBRARY_MAP := lib/client/libmosquitto.map
$(BUILD)/libmosquitto.so.1: $(LIBRARY_O) $(LIBRARY_MAP) $(LINK_STAMP)
	@echo '  LD    $@'
	$(Q)$(CC) -shared $(filter-out -pie,$(ALL_LDFLAGS)) -Wl,-soname,$(@F) \
	  -Wl,--version-script=$(LIBRARY_MAP) -o $@ $(LIBRARY_O) $(LIBRARY_LIBS)
	$(Q)ln -sf $(@F) $(BUILD)/libmosquitto.so

# One object, in which only public names are left: short ones of ours cannot clash with the user's.
$(BUILD)/libmosquitto.a: $(LIBRARY_O) $(LINK_STAMP)
	@echo '  AR    $@'
	$(Q)$(CC) $(CFLAGS) $(EXTRA) -r -nostdlib -o $(BUILD)/obj/libmosquitto.o $(LIBRARY_O)
	$(Q)$(OBJCOPY) --localize-hidden $(BUILD)/obj/libmosquitto.o
	$(Q)rm -f $@ && $(AR) rcs $@ $(BUILD)/obj/libmosquitto.o

# The client programs use the shared library if there is one, beside them or where it is installed.
ifneq ($(LIBRARY_SO),)
CLIENT_LINK := -L$(BUILD) -lmosquitto -Wl,-rpath,'$$ORIGIN:$$ORIGIN/$(RELATIVE_LIBDIR)'
else
CLIENT_O    := $(LIBRARY_O)
endif
$(BUILD)/mosquitto_pub: $(call object,$(PUB_C))
$(BUILD)/mosquitto_sub: $(call object,$(SUB_C))
$(BUILD)/mosquitto_rr: $(call object,$(RR_C))
$(CLIENTS:%=$(BUILD)/mosquitto_%): $(call object,$(COMMON_C)) $(CLIENT_O) $(LINK_STAMP) | $(LIBRARY_SO)
	$(call link,$(CLIENT_LINK) -lcjson)

# Broker and client share short names here and there, and are never linked into one program: tests take
# of the client what they ask for.
CLIENT_AR := $(BUILD)/obj/client.a
$(CLIENT_AR): $(call object,$(CLIENT_C)) $(LINK_STAMP)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

# What the client programs share and can be tested without a connection.
$(BUILD)/unit/test_client_format: $(call object,$(filter %/text.c %/json.c %/format.c,$(COMMON_C)))
$(UNITS): $(BUILD)/unit/%: $(BUILD)/obj/test/unit/%.o $(call object,$(UNITLIB_C)) $(BODY_O) $(CLIENT_AR) $(LINK_STAMP)
	$(call link,-lcmocka)

$(BUILD)/sim: $(call object,$(SIM_C)) $(BODY_O) $(LINK_STAMP)
	$(call link)

$(BUILD)/sim_bridge: $(call object,$(SIMBRIDGE_C) $(SIM_SHARED_C)) $(BODY_O) $(LINK_STAMP)
	$(call link)

$(BUILD)/relay: $(call object,$(RELAY_C)) $(LINK_STAMP)
	$(call link)

$(FUZZERS): $(BUILD)/%: $(BUILD)/obj/test/fuzz/%.o $(call object,$(FUZZLIB_C)) $(BODY_O) $(CLIENT_AR) $(LINK_STAMP)
	$(call link)

-include $(patsubst %.o,%.d,$(call object,$(sort $(PRODUCT_C) $(LIB_FOUND) $(SRC_FOUND) $(TEST_C))))

# ---- The two commands -----------------------------------------------------------------------

run:
	@test/packages.sh build
	@$(SUBMAKE) $(JOBS) all
	@printf '%s\n' '' \
	  'A broker for this machine alone, on port $(PORT). A first message, in other terminals:' \
	  '    $(BUILD)/mosquitto_sub -p $(PORT) -t hello -v' \
	  '    $(BUILD)/mosquitto_pub -p $(PORT) -t hello -m world' \
	  'Control-C stops the broker.' ''
	@exec $(BUILD)/mosquitto -v -p $(PORT)

test check:
	@test/packages.sh test
	+@MAKE='$(SUBMAKE)' BUILD='$(BUILD)' JOBS='$(JOBS)' test/run/suite.sh $(PARTS)

# ---- Parts of the tests ---------------------------------------------------------------------
# Each leaves its counts in $(BUILD)/results for the closing line of `make test`.

RESULTS := $(BUILD)/results

# A leak or an overflow found by a sanitizer must end the program that has it.
export ASAN_OPTIONS  ?= detect_leaks=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS ?= print_stacktrace=1

units: $(UNITS)

unit: $(UNITS)
	@RESULT=$(RESULTS)/unit test/run/unit.sh $(UNITS)

SEED    ?=
STEPS   ?=
SECONDS ?= 20

sim: $(SIM)
	@RESULT=$(RESULTS)/sim test/run/sim.sh '$(SIM)' '$(SEED)' '$(STEPS)' '$(SECONDS)'

FUZZ_SECONDS ?= 10
FUZZ_BUILD    = $(BUILD)/fuzz
FUZZ_MAKE     = $(SUBMAKE) BUILD='$(FUZZ_BUILD)' CC='$(CLANG)' SAN=address,undefined \
	CFLAGS='-O1 -g' FUZZING=yes

fuzzers: $(FUZZERS)

fuzz:
	+@$(FUZZ_MAKE) $(JOBS) fuzzers
	@RESULT=$(RESULTS)/fuzz test/run/fuzz.sh smoke $(FUZZ_BUILD) $(FUZZ_SECONDS)

fuzz-corpus:
	+@$(FUZZ_MAKE) $(JOBS) fuzzers
	@test/run/fuzz.sh keep $(FUZZ_BUILD)

TESTS       ?= $(wildcard test/broker test/client)
# More at once than processors: most of the time a test waits for a deadline to pass.
PYTEST_ARGS ?= -n 8 -q

pytest: all
	@RESULT=$(RESULTS)/pytest BUILD='$(BUILD)' PYTHON=$(PYTHON) \
	  MOSQUITTO_BIN='$(abspath $(BUILD))/mosquitto' BENCH_BIN='$(abspath $(BUILD))/mosquitto_bench' \
	  test/run/pytest.sh "$(TESTS)" $(PYTEST_ARGS)

statements:
	@$(PYTHON) -B test/broker/statements.py

asan:
	+@MAKE='$(SUBMAKE)' BUILD='$(BUILD)' JOBS='$(JOBS)' test/run/suite.sh asan

switches:
	+@MAKE='$(SUBMAKE)' BUILD='$(BUILD)/switches' JOBS='$(JOBS)' CLANG='$(CLANG)' \
	  test/run/switches.sh $(SWITCHES_FEATURE)

coverage:
	+@$(SUBMAKE) $(JOBS) BUILD=$(BUILD)/coverage WITH_COVERAGE=yes all units $(SIM:$(BUILD)/%=$(BUILD)/coverage/%)
	@find $(BUILD)/coverage -name '*.gcda' -exec rm -f {} +
	-+@$(SUBMAKE) -k BUILD=$(BUILD)/coverage WITH_COVERAGE=yes unit sim pytest
	@test/run/coverage.sh $(BUILD)/coverage

BENCH_ARGS ?=
BENCH_WHAT  = --ours $(BUILD)/mosquitto --bench $(BUILD)/mosquitto_bench

bench: all $(BUILD)/relay
	@$(PYTHON) -B test/bench/compare.py $(BENCH_WHAT) --floor $(BUILD)/relay $(BENCH_ARGS)

bench-bridge: all
	@$(PYTHON) -B test/bench/bridge.py $(BENCH_WHAT) $(BENCH_ARGS)

bench-gates: all
	@$(PYTHON) -B test/bench/gates.py $(BENCH_WHAT) $(BENCH_ARGS)

bench-crowd: all $(BUILD)/relay
	@$(PYTHON) -B test/bench/crowd.py $(BENCH_WHAT) --floor $(BUILD)/relay $(BENCH_ARGS)

bench-results: all $(BUILD)/relay
	@$(PYTHON) -B test/bench/results.py $(BENCH_WHAT) --floor $(BUILD)/relay $(BENCH_ARGS)

# ---- Lint -----------------------------------------------------------------------------------

TIDY_OK    := $(patsubst %.c,$(BUILD)/tidy/%.ok,$(LIB_FOUND) $(SRC_FOUND) $(MAIN_C) $(BENCH_C) $(DUMP_C) $(PASSWD_C) $(CLIENTS_C) $(RELAY_C))
HEADERS_OK := $(patsubst %.h,$(BUILD)/headers/%.ok,$(HEADERS))
TIDY_FLAGS  = $(STANDARD) $(INCLUDES) $(filter-out -Werror,$(WARNINGS))

lint: $(BODY_O) $(LIBRARY_O) $(call object,$(MAIN_C) $(BENCH_C) $(DUMP_C) $(PASSWD_C) $(CLIENTS_C) $(RELAY_C))
	+@RESULT=$(RESULTS)/lint BUILD='$(BUILD)' MAKE='$(SUBMAKE)' JOBS='$(JOBS)' PYTHON=$(PYTHON) \
	  CLANG_FORMAT='$(CLANG_FORMAT)' test/lint/run.sh $(sort $(BODY_O) $(LIBRARY_O))

lint-tidy: $(TIDY_OK)
lint-headers: $(HEADERS_OK)

# The twins that are not built are looked at too; their objects would be deleted as intermediate.
.SECONDARY: $(call object,$(TWINS_OUT))

# A file is looked at again when its object had to be made again: that covers its headers.
$(BUILD)/tidy/%.ok: $(BUILD)/obj/%.o .clang-tidy
	@mkdir -p $(@D)
	@test/lint/tidy.sh $(CLANG_TIDY) $*.c $(TIDY_FLAGS) $(if $(filter lib/base/feature,$*),$(FEATURE_DEFS))
	@touch $@

$(BUILD)/headers/%.ok: %.h $(HEADERS)
	@mkdir -p $(@D)
	@printf '#include "%s"\n' '$*.h' | $(CC) $(TIDY_FLAGS) -Werror -I. -fsyntax-only -xc -
	@touch $@

format:
	@find lib src include test -name '*.[ch]' 2>/dev/null | xargs -r $(CLANG_FORMAT) -i

# ---- For editors ----------------------------------------------------------------------------

define one_command
{ "directory": "$(CURDIR)", "file": "$(1)",
  "command": "$(CC) $(ALL_CFLAGS) -fPIE -Itest $(if $(filter %/feature.c,$(1)),$(FEATURE_DEFS)) -c -o $(call object,$(1)) $(1)" },

endef

compile_commands.json: $(PRODUCT_C) $(TEST_C) Makefile config.mk
	$(file >$@.tmp,[ $(foreach f,$(PRODUCT_C) $(TEST_C),$(call one_command,$(f))))
	@sed -e '/^$$/d' -e '$$s/,$$/ ]/' $@.tmp > $@
	@rm -f $@.tmp

# ---- Installing -----------------------------------------------------------------------------

INSTALL  ?= install
EXAMPLES := $(wildcard mosquitto.conf.example pwfile.example aclfile.example pskfile.example)
TOOLS    := mosquitto_bench mosquitto_passwd $(CLIENTS:%=mosquitto_%) $(if $(DUMP_C),mosquitto_db_dump)
MANUALS  := $(if $(filter yes,$(WITH_DOCS)),$(filter-out $(if $(DUMP_C),,man/mosquitto_db_dump.1),$(wildcard man/*.[1-8])))
# How systemd starts the broker, with the paths of this installation.
UNIT      := $(if $(filter yes,$(WITH_SYSTEMD)),src/server/mosquitto.service)
man_path  = $(DESTDIR)$(mandir)/man$(subst .,,$(suffix $(1)))/$(notdir $(1))

install: all
	$(INSTALL) -d '$(DESTDIR)$(sbindir)' '$(DESTDIR)$(bindir)' '$(DESTDIR)$(sysconfdir)'
	$(INSTALL) -m 755 $(BUILD)/mosquitto '$(DESTDIR)$(sbindir)/mosquitto'
	$(foreach p,$(TOOLS),$(INSTALL) -m 755 $(BUILD)/$(p) '$(DESTDIR)$(bindir)/$(p)' &&) true
	$(if $(filter yes,$(WITH_STRIP)),$(STRIP) '$(DESTDIR)$(sbindir)/mosquitto' $(TOOLS:%='$(DESTDIR)$(bindir)/%'))
	$(foreach f,$(EXAMPLES),$(INSTALL) -m 644 $(f) '$(DESTDIR)$(sysconfdir)/$(f)' &&) true
	$(foreach f,$(MANUALS),$(INSTALL) -D -m 644 $(f) '$(call man_path,$(f))' &&) true
	$(foreach f,mosquitto.h mqtt_protocol.h,$(INSTALL) -D -m 644 include/$(f) '$(DESTDIR)$(includedir)/$(f)' &&) true
	$(if $(LIBRARY_SO),$(INSTALL) -D -m 755 $(LIBRARY_SO) '$(DESTDIR)$(libdir)/libmosquitto.so.1')
	$(if $(LIBRARY_SO),ln -sf libmosquitto.so.1 '$(DESTDIR)$(libdir)/libmosquitto.so')
	$(if $(LIBRARY_A),$(INSTALL) -D -m 644 $(LIBRARY_A) '$(DESTDIR)$(libdir)/libmosquitto.a')
	sed -e 's,@prefix@,$(prefix),g' -e 's,@includedir@,$(includedir),g' -e 's,@libdir@,$(libdir),g' \
	  -e 's,@version@,$(LIBRARY_VERSION),g' -e 's,@libs@,$(LIBRARY_LIBS),g' lib/client/libmosquitto.pc.in > $(BUILD)/libmosquitto.pc
	$(INSTALL) -D -m 644 $(BUILD)/libmosquitto.pc '$(DESTDIR)$(libdir)/pkgconfig/libmosquitto.pc'
ifneq ($(UNIT),)
	@mkdir -p $(BUILD)
	sed -e 's,@sbindir@,$(sbindir),g' -e 's,@sysconfdir@,$(sysconfdir),g' $(UNIT) > $(BUILD)/mosquitto.service
	$(INSTALL) -D -m 644 $(BUILD)/mosquitto.service '$(DESTDIR)$(unitdir)/mosquitto.service'
endif

uninstall:
	rm -f '$(DESTDIR)$(sbindir)/mosquitto' '$(DESTDIR)$(bindir)/mosquitto_bench' '$(DESTDIR)$(bindir)/mosquitto_db_dump' \
	  '$(DESTDIR)$(bindir)/mosquitto_passwd' $(CLIENTS:%='$(DESTDIR)$(bindir)/mosquitto_%') \
	  '$(DESTDIR)$(includedir)/mosquitto.h' '$(DESTDIR)$(includedir)/mqtt_protocol.h' '$(DESTDIR)$(libdir)/pkgconfig/libmosquitto.pc' \
	  $(foreach f,libmosquitto.so.1 libmosquitto.so libmosquitto.a,'$(DESTDIR)$(libdir)/$(f)')
	$(foreach f,$(EXAMPLES),rm -f '$(DESTDIR)$(sysconfdir)/$(f)' &&) true
	$(foreach f,$(wildcard man/*.[1-8]),rm -f '$(call man_path,$(f))' &&) true
	rm -f '$(DESTDIR)$(unitdir)/mosquitto.service'
	-rmdir '$(DESTDIR)$(sysconfdir)' 2>/dev/null || true

clean:
	rm -rf '$(BUILD)' compile_commands.json
