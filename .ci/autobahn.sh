#!/bin/bash
# The Autobahn test suite against wire-echo: WebSocket (cases 1 to 10) and permessage-deflate (12, 13).
# The suite is of its time and needs Python 2.7; where there is none, this says so and does nothing.
#
# PYTHON2 names another interpreter than `python2.7`, WIRE_ECHO a built program. CASES chooses, "1.* 9.3.*"
# for example. Reports are under .build/autobahn-reports.
set -euo pipefail
cases=${CASES:-1.* 2.* 3.* 4.* 5.* 6.* 7.* 9.* 10.* 12.* 13.*}
suite=.build/autobahn
reports=.build/autobahn-reports
version=25.10.1

python=${PYTHON2:-python2.7}
if ! "$python" -c '' 2>/dev/null; then
  # With pyenv a version may be installed and not chosen.
  for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7; do
    if [ -x "$candidate" ]; then python=$candidate; fi
  done
fi
if ! "$python" -c '' 2>/dev/null; then
  echo "The Autobahn test suite needs Python 2.7, and there is no python2.7 here: nothing was tested."
  exit 0
fi
if [ ! -f "$suite/$version" ]; then
  rm -rf "$suite"
  "$python" -m pip install --quiet --disable-pip-version-check --target "$suite" "autobahntestsuite==$version" \
    2>&1 | grep -v DEPRECATION || true
  [ -d "$suite/autobahntestsuite" ] || { echo "The Autobahn test suite could not be installed." >&2; exit 1; }
  touch "$suite/$version"
fi
program=${WIRE_ECHO:-.build/release/wire-echo}
[ -n "${WIRE_ECHO:-}" ] || .ci/build.sh wire-echo

rm -rf "$reports"
mkdir -p "$reports"
"$program" >"$reports/echo.out" &
echo_process=$!
trap 'kill "$echo_process" 2>/dev/null || true' EXIT
for _ in $(seq 100); do
  grep -q '^listening on ' "$reports/echo.out" && break
  sleep 0.1
done
address=$(sed -n 's/^listening on //p' "$reports/echo.out")
[ -n "$address" ] || { echo "wire-echo does not listen." >&2; exit 1; }

quoted=$(for case in $(set -f; echo $cases); do printf '"%s",' "$case"; done)
cat >"$reports/spec.json" <<SPEC
{"outdir": "$reports", "cases": [${quoted%,}], "exclude-cases": [], "exclude-agent-cases": {},
 "servers": [{"agent": "wire-echo", "url": "ws://$address/ws", "options": {"version": 18}}]}
SPEC
# As a site folder, because one of its packages is spread by a .pth file.
"$python" -c 'import site, sys; site.addsitedir(sys.argv.pop(1)); import autobahntestsuite.wstest as w; w.run()' \
  "$PWD/$suite" --mode fuzzingclient --spec "$reports/spec.json" >"$reports/suite.log" 2>&1 ||
  { tail -n 20 "$reports/suite.log" >&2; exit 1; }

"$python" - "$reports/index.json" <<'JUDGE'
import json, sys
results = json.load(open(sys.argv[1])).get("wire-echo", {})
order = lambda case: [int(part) for part in case.split(".")]
good, failed = 0, []
for case in sorted(results, key=order):
    result = results[case]
    verdict = (result["behavior"], result["behaviorClose"])
    if verdict == ("OK", "OK"):
        good += 1
    else:
        print("%-8s %s, close: %s" % ((case,) + verdict))
        if verdict[0] not in ("OK", "NON-STRICT", "INFORMATIONAL") or verdict[1] not in ("OK", "INFORMATIONAL"):
            failed.append(case)
print("Autobahn: %d cases, %d ok, %d failed" % (len(results), good, len(failed)))
sys.exit(1 if failed or not results else 0)
JUDGE
