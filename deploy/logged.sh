#!/bin/bash
# Runs a command, and adds what it tells on standard error to the file LOG_FILE, if there is one, for a shipper.
set -eu
if [ -n "${LOG_FILE:-}" ]; then
  exec "$@" 2> >(tee -a "$LOG_FILE" >&2)
fi
exec "$@"
