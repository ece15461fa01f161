# pgweir. Every target does its own set-up: packages (tests/packages.txt) and build.
#
#	make                    build/pgweir
#	make run                builds and starts it, over DATABASE_URL or a private PostgreSQL under build/
#	make demo               the same, with 200 clients over a pool of 10
#	make test               unit, fuzz corpus, differential and system tests; TESTS="test_pool test_auth" runs only these
#	make differential       what PostgreSQL says and what it says through pgweir: tests/differential/README.md
#	make faults             what goes wrong, under load: tests/faults/README.md
#	make fuzz               looks for inputs that break something, for FUZZ_SECONDS in all; TESTS="fuzz_parse"
#	make bench, bench-full  measures it beside other poolers and PostgreSQL itself: tests/bench/README.md
#	make bench-instructions counts instructions a transaction, and writes them to tests/bench/budget
#	make lint, format       style and layers
#	make asan, tsan         the tests with sanitizers
#	make install            to DESTDIR and PREFIX
#
# BUILD: where products go. CI=true or WERROR=1: warnings are errors. LTO=1: link-time optimisation.
# SANITIZE=address,undefined: with sanitizers; use another BUILD for it. V=1: shows the commands.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
ifeq ($(origin CC),default)
CC := gcc
endif
CFLAGS ?= -O2 -g
SANITIZE ?=
LTO ?=
TESTS ?=
INSTALL ?= install

# $(call say,CC) in front of a command: its short form, or with V=1 the command itself.
say = $(if $(V),,@echo "  $1  $@" && )

warnings = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wvla -Wimplicit-fallthrough
ifneq ($(filter true 1,$(CI) $(WERROR)),)
warnings += -Werror
endif

# Asked for once, when the first recipe needs it: the packages may not be there before.
once = $(eval $1 := $(shell $2))$($1)
pkg_cflags = $(call once,pkg_cflags,pkg-config --cflags libconfig libcares libidn libpq openssl)
pkg_libs = $(call once,pkg_libs,pkg-config --libs libconfig libcares libidn libpq openssl)
check_cflags = $(call once,check_cflags,pkg-config --cflags check)
check_libs = $(call once,check_libs,pkg-config --libs check)

compile_flags = -std=gnu11 $(CFLAGS) $(warnings) -I. -MMD -MP -pthread
link_flags = -pthread -Wl,--as-needed -Wl,-z,relro,-z,now $(LDFLAGS)
ifeq ($(SANITIZE),)
compile_flags += -D_FORTIFY_SOURCE=2
else
compile_flags += -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all
link_flags += -fsanitize=$(SANITIZE)
endif
ifneq ($(LTO),)
compile_flags += -flto=auto
link_flags += $(CFLAGS) -flto=auto
AR = gcc-ar
endif
libraries = -lev $(pkg_libs)

protocol_sources := $(sort $(wildcard protocol/*.c))
pooler_sources := $(sort $(shell find pooler -name '*.c'))
support_sources := $(sort $(wildcard tests/support/*.c))
unit_helper_sources := $(sort $(filter-out tests/unit/main.c tests/unit/test_%,$(wildcard tests/unit/*.c)))
system_helper_sources := $(sort $(filter-out tests/system/test_%,$(wildcard tests/system/*.c)))
differential_helper_sources := $(sort $(filter-out tests/differential/test_%,$(wildcard tests/differential/*.c)))
unit_tests := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/unit/test_*.c)))
system_tests := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/system/test_*.c)))
fault_helper_sources := $(sort $(filter-out tests/faults/test_%,$(wildcard tests/faults/*.c)))
differential_tests := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/differential/test_*.c)))
fault_tests := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/faults/test_*.c)))
# Instructions are counted as users have them: not with sanitizers.
bench_tests := $(if $(SANITIZE),,$(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/bench/test_*.c))))
fuzz_targets := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
objects = $(patsubst %.c,$(BUILD)/%.o,$1)
c_files = $(shell find pooler protocol tests -name '*.[ch]')

.PHONY: all run demo test test-unit test-system test-fuzz fuzz fuzz-targets install uninstall format lint asan tsan clean
.PHONY: differential faults bench bench-full bench-instructions
.PHONY: setup-build setup-postgresql setup-test setup-lint setup-fuzz setup-bench setup-instructions
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules

all: $(BUILD)/pgweir

setup-build setup-postgresql setup-test setup-lint setup-fuzz setup-bench setup-instructions: setup-%:
	@tests/setup $*

$(BUILD)/pgweir: $(call objects,$(pooler_sources)) $(BUILD)/libpgprotocol.a
	$(call say,LD)$(CC) $(link_flags) -o $@ $^ $(libraries)

$(BUILD)/libpgprotocol.a: $(call objects,$(protocol_sources))
	$(call say,AR)rm -f $@ && $(AR) rcs $@ $^

# What unit tests link: all of pgweir but its main function.
$(BUILD)/libpooler.a: $(call objects,$(filter-out pooler/main.c,$(pooler_sources)))
	$(call say,AR)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/pooler/%.o: pooler/%.c | setup-build
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(compile_flags) $(pkg_cflags) -c -o $@ $<

$(BUILD)/protocol/%.o: protocol/%.c | setup-build
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(compile_flags) $(pkg_cflags) -c -o $@ $<

# Tests: one binary for each test_X.c, with a main function made for its suite.
$(BUILD)/tests/%.o: tests/%.c | setup-build setup-test
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(compile_flags) $(pkg_cflags) $(check_cflags) -DSOURCE_DIRECTORY='"$(CURDIR)"' -c -o $@ $<

main_flags = -DSUITE=$(patsubst test_%.main.o,%_suite,$(@F))
# (A pattern rule with several targets would make all of them at once, for one stem: this one has one.)
$(BUILD)/tests/%.main.o: tests/unit/main.c | setup-build setup-test
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(compile_flags) $(check_cflags) $(main_flags) -c -o $@ $<

$(BUILD)/tests/unit/test_%: $(BUILD)/tests/unit/test_%.o $(BUILD)/tests/unit/test_%.main.o \
		$(call objects,$(unit_helper_sources)) $(BUILD)/libpooler.a $(BUILD)/libpgprotocol.a
	$(call say,LD)$(CC) $(link_flags) -o $@ $^ $(libraries) $(check_libs)

$(BUILD)/tests/system/test_%: $(BUILD)/tests/system/test_%.o $(BUILD)/tests/system/test_%.main.o \
		$(call objects,$(system_helper_sources) $(support_sources)) $(BUILD)/libpgprotocol.a
	$(call say,LD)$(CC) $(link_flags) -o $@ $^ $(pkg_libs) $(check_libs)

$(BUILD)/tests/differential/test_%: $(BUILD)/tests/differential/test_%.o $(BUILD)/tests/differential/test_%.main.o \
		$(call objects,$(differential_helper_sources) $(support_sources)) $(BUILD)/libpgprotocol.a
	$(call say,LD)$(CC) $(link_flags) -o $@ $^ $(pkg_libs) $(check_libs)

$(BUILD)/tests/faults/test_%: $(BUILD)/tests/faults/test_%.o $(BUILD)/tests/faults/test_%.main.o \
		$(call objects,$(fault_helper_sources) $(support_sources)) $(BUILD)/libpgprotocol.a
	$(call say,LD)$(CC) $(link_flags) -o $@ $^ $(pkg_libs) $(check_libs)

# The load client of the benchmark, and the test of the instructions that a transaction takes.
$(BUILD)/tests/bench/load/%.o: tests/bench/load/%.c | setup-build
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(compile_flags) -c -o $@ $<

$(BUILD)/tests/bench/load/load: $(call objects,$(sort $(wildcard tests/bench/load/*.c))) $(BUILD)/libpgprotocol.a
	$(call say,LD)$(CC) $(link_flags) -o $@ $^ $(libraries)

$(BUILD)/tests/bench/test_%: $(BUILD)/tests/bench/test_%.o $(BUILD)/tests/bench/test_%.main.o \
		$(call objects,$(support_sources)) $(BUILD)/libpgprotocol.a | $(BUILD)/tests/bench/load/load setup-instructions
	$(call say,LD)$(CC) $(link_flags) -o $@ $^ $(pkg_libs) $(check_libs)

# Fuzz targets: with libFuzzer's main function in a build that is for fuzzing, else with one that runs them over the corpus.
fuzz_main = $(if $(findstring fuzzer,$(SANITIZE)),,$(BUILD)/tests/fuzz/replay.o)
$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(fuzz_main) $(BUILD)/libpooler.a $(BUILD)/libpgprotocol.a
	$(call say,LD)$(CC) $(link_flags) $(if $(fuzz_main),,-fsanitize=fuzzer) -o $@ $^ $(libraries)
# Whole workers without threads, whose time stands still.
lone_objects = $(BUILD)/tests/fuzz/lone_worker.o $(BUILD)/tests/fuzz/lone_login.o
lone_links = $(BUILD)/tests/fuzz/fuzz_client $(BUILD)/tests/unit/test_allocation
$(lone_links): $(lone_objects)
$(lone_links): link_flags += -Wl,--wrap=clock_gettime,--wrap=keys_derive
# Allocations that fail when the test wants it.
$(BUILD)/tests/unit/test_allocation: link_flags += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=posix_memalign \
	-Wl,--wrap=strdup,--wrap=strndup,--wrap=free

run: all
	@tests/support/run.sh $(BUILD)

demo: all
	@tests/support/demo.sh $(BUILD)

test: all $(unit_tests) $(fuzz_targets) $(differential_tests) $(system_tests) $(fault_tests) $(bench_tests) | setup-postgresql
	@TESTS="$(TESTS)" tests/run $(BUILD) unit fuzz differential system faults $(if $(bench_tests),bench)

test-unit: $(unit_tests)
	@TESTS="$(TESTS)" tests/run $(BUILD) unit

test-fuzz: $(fuzz_targets)
	@TESTS="$(TESTS)" tests/run $(BUILD) fuzz

test-system: all $(system_tests) | setup-postgresql
	@TESTS="$(TESTS)" tests/run $(BUILD) system

differential: all $(differential_tests) | setup-postgresql
	@TESTS="$(TESTS)" tests/run $(BUILD) differential

faults: all $(fault_tests) | setup-postgresql
	@rm -f $(BUILD)/faults.txt
	@TESTS="$(TESTS)" FAULTS=all FAULTS_FIGURES=$(abspath $(BUILD))/faults.txt tests/run $(BUILD) faults; \
		status=$$?; cat $(BUILD)/faults.txt 2>/dev/null; exit $$status

fuzz: | setup-fuzz
	@$(MAKE) --no-print-directory fuzz-targets BUILD=$(BUILD)/fuzz CC=clang CFLAGS="-O1 -g" \
		SANITIZE=fuzzer-no-link,address,undefined
	@TESTS="$(TESTS)" tests/fuzz/run $(BUILD)/fuzz

fuzz-targets: $(fuzz_targets)

bench: all $(BUILD)/tests/bench/load/load | setup-postgresql setup-bench
	@tests/bench/run quick --build $(BUILD)

bench-full: all $(BUILD)/tests/bench/load/load | setup-postgresql setup-bench
	@tests/bench/run full --build $(BUILD)

bench-instructions: all $(BUILD)/tests/bench/load/load | setup-postgresql setup-instructions
	@tests/bench/instructions --build $(BUILD) --write

asan:
	$(MAKE) test BUILD=$(BUILD)/asan SANITIZE=address,undefined

# With several workers wherever a test does not say how many.
tsan:
	TEST_WORKERS=3 $(MAKE) test BUILD=$(BUILD)/tsan SANITIZE=thread

install: all
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/doc/pgweir
	$(INSTALL) -m 755 $(BUILD)/pgweir $(DESTDIR)$(PREFIX)/bin/pgweir
	$(INSTALL) -m 644 docs/pgweir.1 $(DESTDIR)$(PREFIX)/share/man/man1/pgweir.1
	$(INSTALL) -m 644 etc/pgweir.conf etc/userlist.txt $(DESTDIR)$(PREFIX)/share/doc/pgweir

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/pgweir $(DESTDIR)$(PREFIX)/share/man/man1/pgweir.1
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/pgweir

format: | setup-lint
	clang-format -i $(c_files)

lint: | setup-lint
	@tests/lint/all

clean:
	rm -rf $(BUILD)

-include $(shell [ ! -d $(BUILD) ] || find $(BUILD) -name '*.d')
