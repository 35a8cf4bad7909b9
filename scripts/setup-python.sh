# Finds a Python of the wanted version: one that is there, else uv's download, else Debian's packages.
# Sourced by scripts/setup; leaves the interpreter's path in $python.

# Does this interpreter run, is it the version asked for, and has it what Laneway needs?
python_fits() {
    "$1" -I - "$version" >/dev/null 2>&1 <<'PY'
import sys, sysconfig
wanted = sys.argv[1]
free_threaded = wanted.endswith("t")
have = "%d.%d" % sys.version_info[:2]
assert have == wanted.rstrip("t")
assert bool(sysconfig.get_config_var("Py_GIL_DISABLED")) == free_threaded
assert sys.version_info >= (3, 15) or sys.version_info.releaselevel == "final"
assert sys.prefix == sys.base_prefix
import ssl, sqlite3, venv, ctypes, compression.zstd, concurrent.interpreters
PY
}

find_python() {
    if [ -n "${LANEWAY_PYTHON:-}" ]; then
        if python_fits "$LANEWAY_PYTHON"; then python=$LANEWAY_PYTHON; return; fi
        say "LANEWAY_PYTHON=$LANEWAY_PYTHON is not a working Python $version" >&2
        exit 1
    fi

    python=$root/.python/$version/usr/bin/python$version
    if [ -x "$python" ] && python_fits "$python"; then return; fi

    python_on_path && return
    python_from_uv && return
    python_from_debian && return

    say "no Python $version could be found or made. Tried:$tried" >&2
    cat >&2 <<TEXT
What to do, any one of these:
  - install Python $version with the tools of your system, so that python$version is on the PATH
  - allow uv to download it ('uv python install $version' must work), then run this again
  - set LANEWAY_PYTHON to the path of a Python $version interpreter
TEXT
    exit 1
}

python_on_path() {
    name=python$version
    found=$(command -v "$name" 2>/dev/null) || found=""
    if [ -z "$found" ]; then note_failure "$name on the PATH: not there"; return 1; fi
    for python in "$found" "/usr/local/bin/$name" "/usr/bin/$name"; do
        if [ -x "$python" ] && python_fits "$python"; then say "using $python"; return 0; fi
    done
    note_failure "$found: does not run, or lacks ssl, sqlite3, zstd, venv or interpreters"
    return 1
}

python_from_uv() {
    if ! get_uv; then note_failure "uv's managed Python: uv could not be had"; return 1; fi
    python=$("$uv" python find --quiet --no-project --no-python-downloads --system "$version" 2>/dev/null) || python=""
    if [ -n "$python" ] && python_fits "$python"; then say "using $python"; return 0; fi
    say "downloading Python $version with uv"
    answer=$(UV_HTTP_TIMEOUT=20 UV_HTTP_RETRIES=1 limited 300 "$uv" python install --no-progress --no-bin "$version" 2>&1) || {
        note_failure "uv's managed Python: $(printf '%s\n' "$answer" | tail -n 1 | sed 's/^ *//')"
        return 1
    }
    python=$("$uv" python find --quiet --no-project --no-python-downloads --managed-python "$version" 2>/dev/null) || python=""
    if [ -n "$python" ] && python_fits "$python"; then return 0; fi
    note_failure "uv's managed Python: what was installed does not run"
    return 1
}

# Runs a command with a time limit in seconds, where the machine has `timeout`.
limited() {
    limit=$1; shift
    if command -v timeout >/dev/null 2>&1; then timeout "$limit" "$@"; else "$@"; fi
}
