# Read by the other scripts: puts `swift` on PATH, or says what is missing.
# shellcheck shell=bash

if ! command -v swift >/dev/null 2>&1; then
  for folder in "$HOME/.local/share/swiftly/bin" /opt/swift/usr/bin /usr/local/swift/usr/bin /usr/share/swift/usr/bin; do
    if [ -x "$folder/swift" ]; then
      PATH="$folder:$PATH"
      export PATH
      break
    fi
  done
fi

if ! command -v swift >/dev/null 2>&1; then
  echo "Swift 6.3 is needed and 'swift' is not on PATH. Install it from https://www.swift.org/install/linux/" >&2
  exit 1
fi

# A folder that another user built (root, most often) fails later with a message that helps nobody.
if [ -e .build ] && [ ! -w .build ]; then
  echo "The folder .build belongs to another user. Remove it (sudo make clean) and try again." >&2
  exit 1
fi
