#!/bin/sh
# Runs the command of an emulated Azure ML job on one node, in one process or in several.
#
# Standard input is shell text: variables for the command, which stand in no description of the container, and `command`, `processes` and
# `first` (the rank of the node's first process) themselves. Its last line says that it came whole.
exec 2>&1
script=$(cat)
case $script in
*"# complete") ;;
*)
    echo "the emulator did not pass on the job's variables" >&2
    exit 70
    ;;
esac
eval "$script"
unset script
exec </dev/null
# The job trusts the emulator's certificate beside those that the image trusts.
own=/mnt/azureml/emulator
bundle=$own/bundle.pem
for trusted in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
    if [ -n "$trusted" ] && [ -f "$trusted" ]; then
        cat "$trusted" >"$bundle"
        break
    fi
done
cat "$own/ca.pem" >>"$bundle"
export SSL_CERT_FILE="$bundle" REQUESTS_CA_BUNDLE="$bundle" CURL_CA_BUNDLE="$bundle"
cd "$AZUREML_CR_EXECUTION_WORKING_DIR_PATH" || exit 70
shell="sh"
if command -v bash >/dev/null; then
    shell=bash
fi
if [ "${processes:?}" -eq 1 ]; then
    exec "$shell" -c "${command:?}"
fi

# Several: the first process writes the container's log, the others a file each. One that fails ends all.
stopped=0
trap 'stopped=143' TERM
mkdir -p "$own/logs"
each=0
while [ "$each" -lt "$processes" ]; do
    rank=$((${first:?} + each))
    (
        trap - TERM
        export RANK="$rank" LOCAL_RANK="$each" OMPI_COMM_WORLD_RANK="$rank" OMPI_COMM_WORLD_LOCAL_RANK="$each"
        [ "$each" -eq 0 ] || exec >"$own/logs/$rank" 2>&1
        "$shell" -c "${command:?}"
        code=$?
        if [ "$code" -ne 0 ] && mkdir "$own/failed" 2>/dev/null; then
            echo "$code" >"$own/failed/code"
            kill -TERM 0
        fi
        exit "$code"
    ) &
    each=$((each + 1))
done
# A signal interrupts the waiting.
while ! wait; do :; done
if [ -f "$own/failed/code" ]; then
    exit "$(cat "$own/failed/code")"
fi
exit "$stopped"
