#!/bin/bash
# Searches for inputs that break a parser, with libFuzzer under the address sanitizer: each parser for
# FUZZ_SECONDS (60), or those that are named as arguments.
#
# Starts from Tests/FuzzingTests/Corpus and goes on where it left off (.build/fuzz/corpus). What breaks a
# property, traps, hangs or takes too much memory is written beside the first inputs, where `make test`
# replays it: mend the parser and keep the file.
set -euo pipefail
. .ci/swift.sh
seconds=${FUZZ_SECONDS:-60}
committed=Tests/FuzzingTests/Corpus
scratch=.build/fuzz

echo "== build"
# Instrumented, and not linked with libFuzzer yet: the build also makes tools that have a `main`. They are
# not used here, so that what they lack of the sanitizer may be missing.
swift build -c release --product Fuzzing --scratch-path "$scratch" \
  -Xswiftc -Xfrontend -Xswiftc -sanitize=fuzzer,address \
  -Xswiftc -use-ld=lld -Xlinker --unresolved-symbols=ignore-all
library=$(swift build -c release --scratch-path "$scratch" --show-bin-path)/libFuzzing.a
# libFuzzer brings `main`.
swiftc -sanitize=fuzzer,address -use-ld=lld "$library" -lcrypto -lz -o "$scratch/fuzz"

# Without these a crash waits for a symboliser, and for the backtrace of another crash in that.
export SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=symbolize=0:quarantine_size_mb=64
failed=""
for folder in "$committed"/*/; do
  entry=$(basename "$folder")
  case " ${*:-$entry} " in *" $entry "*) ;; *) continue ;; esac
  found=$scratch/corpus/$entry
  mkdir -p "$found"
  log=$scratch/$entry.log
  if FUZZ_ENTRY=$entry "$scratch/fuzz" "$found" "$folder" -max_total_time="$seconds" -max_len=512 \
    -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$folder" >"$log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "$entry: $runs inputs in $seconds s, nothing found"
  else
    echo "$entry: FOUND, see $log"
    grep -E '^(Finding:|SUMMARY:|artifact_prefix)' "$log" | cut -c 1-300 || true
    failed="$failed $entry"
  fi
done
[ -z "$failed" ] || { echo "FAILED:$failed"; exit 1; }
