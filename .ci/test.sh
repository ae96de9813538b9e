#!/bin/bash
# Everything that must hold before a change is accepted. The two suites both run even when the first
# fails, and their summaries stand together at the end.
set -euo pipefail
.ci/packages.sh test
. .ci/swift.sh
started=$SECONDS

.ci/check.sh
mkdir -p .build/test-reports
unit=.build/test-reports/unit.log
end_to_end=.build/test-reports/end-to-end.log
failed=0

# Before the unit tests: the mail client is tried on a server in Python.
venv=.build/venv
requirements=Tests/EndToEnd/requirements.txt
if ! cmp -s "$requirements" "$venv/requirements.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
  cp "$requirements" "$venv/requirements.txt"
fi

echo "== unit tests"
# One after the other: some watch deadlines, and the machine may have two cores only.
swift test --skip-build --no-parallel 2>&1 | tee "$unit" || failed=1

echo "== release build"
.ci/build.sh messaging-hub
.ci/build.sh wire-echo

echo "== end-to-end tests"
# Old stock clients, whose libraries cannot stand beside their successors.
old_requirements=Tests/EndToEnd/requirements-old.txt
old_clients=.build/old-clients
if ! cmp -s "$old_requirements" "$old_clients/requirements.txt"; then
  rm -rf "$old_clients"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --target "$old_clients" -r "$old_requirements"
  cp "$old_requirements" "$old_clients/requirements.txt"
fi
# A homeserver of Matrix, in an environment of its own.
synapse_requirements=Tests/EndToEnd/requirements-synapse.txt
synapse=.build/synapse
if ! cmp -s "$synapse_requirements" "$synapse/requirements.txt"; then
  rm -rf "$synapse"
  python3 -m venv "$synapse"
  "$synapse/bin/python" -m pip install --quiet --disable-pip-version-check -r "$synapse_requirements"
  cp "$synapse_requirements" "$synapse/requirements.txt"
fi
# File by file on two workers: most tests wait for something, and each file has a hub of its own.
"$venv/bin/python" -m pytest Tests/EndToEnd -n 2 --dist loadfile -ra --durations=10 2>&1 | tee "$end_to_end" || failed=1

echo
echo "== summary after $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s"
grep -E 'Test run with' "$unit" | sed 's/^/unit:       /' || echo "unit:       no summary: see $unit"
grep -E '^(=+ )?[0-9]+ (passed|failed|error).* in [0-9.]+s' "$end_to_end" | tail -n 1 | sed 's/^/end to end: /' ||
  echo "end to end: no summary: see $end_to_end"
if [ "$failed" -ne 0 ]; then
  echo "FAILED"
  exit 1
fi
echo "PASSED"
