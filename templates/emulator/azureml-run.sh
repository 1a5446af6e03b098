#!/bin/sh
# Runs the command of an emulated Azure ML job on one node.
#
# Standard input is shell text: variables for the command, which stand in no description of the container, and `command` itself. Its last
# line says that it came whole.
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
own=/mnt/azureml/emulator/ca.pem
bundle=/mnt/azureml/emulator/bundle.pem
for trusted in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
    if [ -n "$trusted" ] && [ -f "$trusted" ]; then
        cat "$trusted" >"$bundle"
        break
    fi
done
cat "$own" >>"$bundle"
export SSL_CERT_FILE="$bundle" REQUESTS_CA_BUNDLE="$bundle" CURL_CA_BUNDLE="$bundle"
cd "$AZUREML_CR_EXECUTION_WORKING_DIR_PATH" || exit 70
if command -v bash >/dev/null; then
    exec bash -c "${command:?}"
fi
exec sh -c "${command:?}"
