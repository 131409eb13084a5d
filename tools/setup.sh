#!/bin/sh
# Makes the environment in the folder $1 from the lock $2: with uv where it is on the PATH, else with venv and pip.
# Without $2 it is requirements.lock. assay itself is installed from this folder where the lock has what builds it.
# PYTHON names the interpreter; without it the first one found that is new enough is taken.
set -eu

venv=$1
lock=${2:-requirements.lock}
new_enough='import sys; sys.exit(sys.version_info < (3, 11))'

has_builder() {
  grep -q '^hatchling==' "$lock"
}

fail() {
  printf 'make setup: %s\n' "$@" >&2
  exit 1
}

python=
for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
  if "$candidate" -c "$new_enough" 2>/dev/null; then
    python=$candidate
    break
  fi
done

uv=$(command -v uv || true)
case $uv in
*/"$venv"/*) uv= ;; # the one in the environment that is about to be made anew
esac

if [ -n "$uv" ]; then
  [ -z "${PYTHON:-}" ] || [ -n "$python" ] || fail "PYTHON=$PYTHON does not run, or is older than Python 3.11."
  echo "make setup: $venv with $(uv --version)"
  uv venv --quiet --clear --python "${python:->=3.11}" "$venv"
  uv pip install --quiet --python "$venv/bin/python" --no-deps --require-hashes -r "$lock"
  ! has_builder || uv pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation -e .
else
  [ -n "$python" ] || fail "no Python 3.11 or newer was found (looked for ${PYTHON:-python3, python3.14 ... python3.11})." \
    "Install one, or name it: make setup PYTHON=/path/to/python3"
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$("$python" --version) has no venv module. On Debian and Ubuntu: sudo apt-get install python3-venv"
  echo "make setup: $venv with $("$python" --version) and pip"
  "$python" -m venv --clear "$venv"
  pip="$venv/bin/python -m pip --disable-pip-version-check --quiet"
  $pip install --no-deps --require-hashes -r "$lock"
  ! has_builder || $pip install --no-deps --no-build-isolation -e .
fi
