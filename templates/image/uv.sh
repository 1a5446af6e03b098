#!/bin/sh
# Installs uv from the package index, in a folder of its own that no image keeps: uv.sh PYTHON
set -eu
if [ -s /run/sendoff/ca.pem ]; then
    export PIP_CERT=/run/sendoff/ca.pem SSL_CERT_FILE=/run/sendoff/ca.pem
fi
if [ -s /run/sendoff/settings ]; then
    # shellcheck disable=SC1091
    . /run/sendoff/settings
fi
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
"$1" -m pip install --quiet --target /opt/sendoff/uv uv
