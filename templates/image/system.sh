#!/bin/sh
# Installs Debian packages: system.sh PACKAGE...
set -eu
if [ -s /run/sendoff/settings ]; then
    # shellcheck disable=SC1091
    . /run/sendoff/settings
fi
command -v apt-get >/dev/null || { echo "the image has no apt-get: it is not made of Debian packages" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
if [ -s /run/sendoff/ca.pem ]; then
    echo 'Acquire::https::CaInfo "/run/sendoff/ca.pem";' >/tmp/sendoff-apt.conf
    export APT_CONFIG=/tmp/sendoff-apt.conf
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "$@"
rm -f /tmp/sendoff-apt.conf
rm -rf /var/lib/apt/lists/*
