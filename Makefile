# What a developer types. Each recipe is one script under .ci, so that it can be read and run alone.
#
#   make run     the hub on its own PostgreSQL, ready for a first message
#   make test    everything: format, unit tests, end-to-end tests
#   make check   the quick half: format and build
#   make build   the release binary
#   make bench   the measuring program
#   make autobahn  the WebSocket test suite of others against wire-echo, where Python 2.7 is
#   make clean   forget what was built (the data folder .hub stays)

.PHONY: run test check build bench autobahn clean

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
	@.ci/build.sh hub-bench
	@exec .build/release/hub-bench $(BENCH)

autobahn:
	@.ci/packages.sh build
	@.ci/autobahn.sh

clean:
	rm -rf .build
