#!/bin/sh
# Install kvwire and what it needs, as pinned in constraints.txt, into a new virtual environment:
#   install.sh cpu|cuda FOLDER
# The images are made by this script; it runs the same way on any machine with Python 3.11.
# TORCH_INDEX names another package index for torch's CPU wheel, where the public one is not reached.
set -eu

variant=$1
folder=$2
cd "$(dirname "$0")/../.."

case $variant in
  cpu | cuda) ;;
  *)
    echo "install.sh: variant '$variant' is not known; use cpu or cuda" >&2
    exit 2
    ;;
esac

python3.11 -m venv "$folder"
install() {
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$@"
}

if [ "$variant" = cpu ]; then
  # PyPI's wheel for Linux asks for gigabytes of CUDA libraries; the one for CPUs has an index of its own.
  install --no-deps --index-url "${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}" torch
fi
install ".[http,otel]" # the HTTP front door; traces, which are off until KVWIRE_OTLP_ENDPOINT names a collector
