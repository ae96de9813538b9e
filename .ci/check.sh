#!/bin/bash
# The quick half of the gate: format, then a build in which every warning is an error.
set -euo pipefail
. .ci/swift.sh
echo "== format"
swift format lint --strict --parallel --configuration .swift-format -r Package.swift Sources Tests
echo "== build (debug, with tests)"
swift build --build-tests
