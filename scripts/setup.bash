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

# installed VENV WANT: whether WANT is in VENV already, from this folder and this pyproject.toml.
installed() {
    [ -x "$1/bin/python" ] && grep -qxF "$2" "$1/.installed" 2>/dev/null
}

wanted() { printf '%s\n' "$1 $(cksum < pyproject.toml) $PWD"; }

# make_venv VENV: unless there is one that works.
make_venv() {
    [ "$(uname -s)" = Linux ] || { say "gpusched runs on Linux only"; return 1; }
    if ! [ -x "$1/bin/python" ] || ! "$1/bin/python" -c '' 2>/dev/null; then
        local python
        python=$(find_python)
        say "making $1 with $("$python" --version)"
        "$python" -m venv --clear "$1"
    fi
}

# quietly COMMAND …: what it says is shown only where it fails.
quietly() {
    local said
    if ! said=$("$@" 2>&1); then
        say "$said"
        return 1
    fi
}

# install EXTRA,… : gpusched, editable, with those extras, into .venv of the checkout.
install() {
    local extras=$1 want
    want=$(wanted "$extras")
    if installed .venv "$want"; then
        return
    fi
    make_venv .venv || return
    say "installing gpusched[$extras] into .venv (the first time takes some minutes)"
    quietly .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$extras]" || return
    printf '%s\n' "$want" >> .venv/.installed
}

# install_lowest EXTRA: the same with the oldest versions that pyproject.toml allows, into .venv-lowest.
install_lowest() {
    local extra=$1 venv=.venv-lowest want uv
    want=$(wanted "$extra")
    if installed "$venv" "$want"; then
        return
    fi
    make_venv "$venv" || return
    say "installing the oldest versions that gpusched[$extra] allows into $venv (the first time takes some minutes)"
    quietly "$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv || return
    # Only wheels: the oldest version that has one for this Python, not one that has to be compiled first.
    uv=("$venv/bin/uv" pip install --python "$venv/bin/python")
    quietly "${uv[@]}" --resolution lowest-direct --only-binary :all: --requirements pyproject.toml --extra "$extra" || return
    quietly "${uv[@]}" --no-deps --editable . || return
    printf '%s\n' "$want" >> "$venv/.installed"
}
