#!/bin/bash
# Builds one release product, only when a source is newer than the last build of it.
set -euo pipefail
product=$1
binary=.build/release/$product
stamp=.build/$product.stamp
sources="Package.swift Sources Migrations Webhooks"

# A folder's time changes when a file in it comes or goes, so deletions are seen too.
# shellcheck disable=SC2086  # a list of names
if [ -x "$binary" ] && [ -f "$stamp" ] && [ -z "$(find $sources -newer "$stamp" -print -quit 2>&1)" ]; then
  exit 0
fi

. .ci/swift.sh
mkdir -p .build
# The stamp carries the time before the build: a file saved meanwhile is newer, and is built next time.
touch "$stamp.new"
echo "Building $product (release); the first time takes some minutes."
swift build -c release --product "$product"
mv "$stamp.new" "$stamp"
