# Sourced by the scripts beside it: makes .venv, installs gpusched with the extras asked for, once.
# shellcheck shell=bash

say() { printf '%s\n' "$*" >&2; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    say "Python 3.11 or newer with venv is needed and was not found; install it (on Debian: apt install python3 python3-venv)"
    say "or name one: PYTHON=/path/to/python $0"
    return 1
}

# install EXTRA,… : gpusched, editable, with those extras, into .venv of the checkout.
install() {
    local extras=$1 stamp=.venv/.installed want
    [ "$(uname -s)" = Linux ] || { say "gpusched runs on Linux only"; return 1; }
    want="$extras $(cksum < pyproject.toml) $PWD"
    if [ -x .venv/bin/python ] && grep -qxF "$want" "$stamp" 2>/dev/null; then
        return
    fi
    if ! [ -x .venv/bin/python ] || ! .venv/bin/python -c '' 2>/dev/null; then
        local python
        python=$(find_python)
        say "making .venv with $("$python" --version)"
        "$python" -m venv --clear .venv
    fi
    say "installing gpusched[$extras] into .venv (the first time takes some minutes)"
    local said
    if ! said=$(.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$extras]" 2>&1); then
        say "$said"
        return 1
    fi
    printf '%s\n' "$want" >> "$stamp"
}
