#!/bin/sh
# Put Debian's prometheus and promtool into a folder (default /usr/local/bin), for tests and CI.
# The package is unpacked, not installed, so that no system service starts and no user is made.
set -eu

into=${1:-/usr/local/bin}
if [ -x "$into/prometheus" ] && [ -x "$into/promtool" ]; then
  exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -qq -o APT::Sandbox::User=root download prometheus || {
  apt-get -qq update
  apt-get -qq -o APT::Sandbox::User=root download prometheus
}
dpkg-deb --extract prometheus_*.deb .
install -D --mode=0755 --target-directory="$into" usr/bin/prometheus usr/bin/promtool
