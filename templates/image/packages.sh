#!/bin/sh
# Installs the packages of the lock into a venv, compiled: packages.sh PYTHON
set -eu
if [ -s /run/sendoff/ca.pem ]; then
    export SSL_CERT_FILE=/run/sendoff/ca.pem
fi
if [ -s /run/sendoff/settings ]; then
    # shellcheck disable=SC1091
    . /run/sendoff/settings
fi
if [ -s /run/sendoff/uv.toml ]; then
    export UV_CONFIG_FILE=/run/sendoff/uv.toml
else
    export UV_NO_CONFIG=1
fi
export UV_CACHE_DIR=/var/cache/sendoff-uv UV_LINK_MODE=copy UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never NO_COLOR=1
uv=/opt/sendoff/uv/bin/uv
# What the image brings is there too; what the lock pins comes first. An image that sendoff has made before has the venv already.
[ -d /opt/sendoff/env ] || "$uv" venv --quiet --no-project --system-site-packages --python "$1" /opt/sendoff/env
if [ -s /run/sendoff/packages/lock.txt ]; then
    # A folder of the source directory is built where it lies, and what is mounted cannot be written.
    cp -r /run/sendoff/packages /tmp/sendoff-packages
    "$uv" pip install --no-deps --compile-bytecode --python /opt/sendoff/env/bin/python \
        --find-links /tmp/sendoff-packages/wheels -r /tmp/sendoff-packages/lock.txt
    rm -rf /tmp/sendoff-packages
fi
