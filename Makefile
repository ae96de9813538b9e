# What a developer types. Each recipe is one script under .ci, so that it can be read and run alone.
#
#   make run     the hub on its own PostgreSQL, ready for a first message
#   make test    everything: format, unit tests, end-to-end tests
#   make check   the quick half: format and build
#   make build   the release binary
#   make bench   the measuring program
#   make fuzz    inputs that break a parser are searched for, a minute for each (FUZZ_SECONDS=600: ten)
#   make sanitize  the unit tests under the address sanitizer
#   make autobahn  the WebSocket test suite of others against wire-echo, where Python 2.7 is
#   make clean   forget what was built (the data folder .hub stays)

.PHONY: run test check build bench fuzz sanitize autobahn clean

run:
	@.ci/packages.sh build
	@.ci/build.sh messaging-hub
	@exec .build/release/messaging-hub serve

test:
	@.ci/test.sh

check:
	@.ci/packages.sh build
	@.ci/check.sh

build:
	@.ci/packages.sh build
	@.ci/build.sh messaging-hub

bench:
	@.ci/packages.sh build
	@.ci/build.sh messaging-hub
	@.ci/build.sh wire-echo
	@.ci/build.sh echo-yardstick
	@.ci/build.sh hub-bench
	@exec .build/release/hub-bench $(BENCH)

fuzz:
	@.ci/packages.sh build
	@.ci/fuzz.sh $(FUZZ)

sanitize:
	@.ci/sanitize.sh

autobahn:
	@.ci/packages.sh build
	@.ci/autobahn.sh

clean:
	rm -rf .build
