#!/bin/bash
# Checks for the system packages of `build` or `test`, says what is missing, and installs it with apt.
# Silent and quick when all is there: it runs before every `make run`.
set -euo pipefail

wanted="libpq-dev libssl-dev zlib1g-dev pkg-config"
if [ "${1:-build}" = test ]; then
  wanted="$wanted python3-venv chromium faketime dovecot-imapd"
  # Not in the place of another mail server: then the tests do without it.
  if [ ! -e /usr/sbin/sendmail ]; then
    wanted="$wanted exim4-daemon-light"
  fi
fi

installed() {
  dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'
}

missing=""
for package in $wanted; do
  if ! installed "$package"; then
    missing="$missing $package"
  fi
done

# The server counts as there when its programs are, whatever package they came with.
if ! command -v initdb >/dev/null 2>&1 && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
  missing="$missing postgresql"
fi

if [ -z "$missing" ]; then
  exit 0
fi

echo "Missing system packages:$missing"
if ! command -v apt-get >/dev/null 2>&1; then
  echo "There is no apt-get here: install them by the means of this system, then try again." >&2
  exit 1
fi
as_root() {
  env DEBIAN_FRONTEND=noninteractive "$@"
}
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "Run this once as root: apt-get install -y$missing" >&2
    exit 1
  fi
  as_root() {
    sudo env DEBIAN_FRONTEND=noninteractive "$@"
  }
fi
install_packages() {
  as_root apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
}

echo "Installing them with apt-get."
as_root apt-get update -o DPkg::Lock::Timeout=300

# Debian's packages would start servers of their own, which neither the hub nor its tests use. Each setting
# goes back to what it was, because it is the machine's, not ours.
cluster_settings=/etc/postgresql-common/createcluster.conf
policy=/usr/sbin/policy-rc.d
put_back() {
  if [ -f "$cluster_settings.before-hub" ]; then
    as_root mv "$cluster_settings.before-hub" "$cluster_settings"
  fi
  if [ -f "$policy.of-hub" ]; then
    as_root rm -f "$policy" "$policy.of-hub"
  fi
}
trap put_back EXIT

case "$missing" in
*" postgresql"*)
  install_packages postgresql-common
  if [ -f "$cluster_settings" ]; then
    as_root cp -p "$cluster_settings" "$cluster_settings.before-hub"
    as_root sed -i -E 's/^#?[[:space:]]*create_main_cluster.*/create_main_cluster = false/' "$cluster_settings"
  fi
  ;;
esac

case "$missing" in
*" dovecot"* | *" exim"*)
  # A policy that is there already knows better.
  if [ ! -e "$policy" ]; then
    as_root touch "$policy.of-hub"
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
  ;;
esac

# shellcheck disable=SC2086  # a list of names
install_packages $missing

# Nor at the next boot.
for service in dovecot exim4; do
  case "$missing" in
  *" $service"*)
    if command -v systemctl >/dev/null 2>&1; then
      as_root systemctl disable $service.service >/dev/null 2>&1 || true
    fi
    if command -v update-rc.d >/dev/null 2>&1; then
      as_root update-rc.d $service disable >/dev/null 2>&1 || true
    fi
    ;;
  esac
done
case "$missing" in
*" dovecot"*)
  if command -v systemctl >/dev/null 2>&1; then
    as_root systemctl disable dovecot.socket >/dev/null 2>&1 || true
  fi
  ;;
esac
