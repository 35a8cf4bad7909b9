# Finds uv, or installs the locked one from PyPI into .tools/. Sourced by scripts/setup; leaves its path in $uv.

uv=""
uv_failed=""

get_uv() {
    [ -z "$uv" ] || return 0
    for candidate in "$(command -v uv 2>/dev/null)" "$root/.tools/uv/bin/uv"; do
        if [ -n "$candidate" ] && "$candidate" --version >/dev/null 2>&1; then uv=$candidate; return 0; fi
    done
    # The second call may know one Python more: the one that was made meanwhile.
    for candidate in python3 /usr/bin/python3 python "${python:-}"; do
        case " $uv_failed " in *" $candidate "*) continue ;; esac
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
        install_uv_with "$candidate" && return 0
        uv_failed="$uv_failed $candidate"
        note_failure "uv from PyPI with $(command -v "$candidate"): $(tail -n 1 .tools/uv.log 2>/dev/null)"
    done
    return 1
}

# A private environment if this Python can make one, else a plain folder filled by its pip.
install_uv_with() {
    mkdir -p .tools
    new=.tools/uv.new
    rm -rf "$new" .tools/uv
    if "$1" -m venv "$new" >.tools/uv.log 2>&1; then
        say "installing uv into .tools/"
        "$new/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt \
            >.tools/uv.log 2>&1 || return 1
    else
        rm -rf "$new"
        "$1" -m pip --version >.tools/uv.log 2>&1 || return 1
        say "installing uv into .tools/"
        "$1" -m pip install --quiet --disable-pip-version-check --require-hashes --target "$new" -r requirements/uv.txt \
            >.tools/uv.log 2>&1 || return 1
    fi
    "$new/bin/uv" --version >>.tools/uv.log 2>&1 || return 1
    mv "$new" .tools/uv
    uv=$root/.tools/uv/bin/uv
}
