#!/bin/bash
# The unit tests under the address sanitizer, built in a folder of their own. Arguments go to `swift test`
# (`--filter HTTPServerTests`).
set -euo pipefail
.ci/packages.sh build
. .ci/swift.sh
scratch=.build/asan
echo "== build"
swift build --build-tests --sanitize=address --scratch-path "$scratch"
echo "== unit tests under the address sanitizer"
# A finding ends the process; without these it waits for a symboliser. Leaks are not looked for: Swift keeps
# some pointers with the bits of an enum's case in them, so that even constants count as lost.
export SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=symbolize=0:detect_leaks=0
swift test --skip-build --no-parallel --sanitize=address --scratch-path "$scratch" "$@"
