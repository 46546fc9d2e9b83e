#!/bin/sh
# Install this bundle into a folder of its own below /opt/exmail-bridge, beside the versions that are there. It asks no
# network. What runs goes on running: services take the new version when they are restarted. Nothing that somebody wrote
# or changed in /etc is touched.
set -eu
umask 022
LC_ALL=C
export LC_ALL
unset CDPATH

usage() {
    cat <<'END'
sh install.sh [--root DIR] [--python PROGRAM]   install this bundle, and make it the current version
sh install.sh [--root DIR] --use VERSION        go to a version that is installed already, for instance back

--root DIR        instead of /; for images and for a try
--python PROGRAM  the Python to use; otherwise the one of the bundle's version on PATH
END
}

say() {
    printf 'exmail-bridge: %s\n' "$*"
}

refuse() {
    say "$@" >&2
    exit 1
}

# What the bundle says of itself: version, machine, python, glibc.
about() {
    sed -n "s/^$1=//p" "$here/BUNDLE"
}

# Neither this shell's settings nor a pip.conf is for a production environment.
clean() {
    env -i PATH="$PATH" HOME="${HOME:-/}" LC_ALL=C PIP_CONFIG_FILE=/dev/null PYTHONDONTWRITEBYTECODE=1 "$@"
}

check_files() {
    [ -f "$here/SHA256SUMS" ] && [ -f "$here/BUNDLE" ] || refuse "$here is no whole bundle: unpack it again"
    if ! damaged=$(cd "$here" && sha256sum -c --quiet SHA256SUMS 2>/dev/null); then
        refuse "the bundle is damaged, copy it again: $(printf '%s\n' "$damaged" | sed 's/: FAILED.*//' | head -n 3 | tr '\n' ' ')"
    fi
}

check_machine() {
    machine=$(about machine)
    [ "$(uname -s)" = Linux ] || refuse "this bundle is for Linux, and this is $(uname -s)"
    [ "$(uname -m)" = "$machine" ] || refuse "this bundle is for $machine, and this machine is $(uname -m)"
    wanted=$(about glibc)
    found=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc //p')
    [ -n "$found" ] || refuse "this bundle needs glibc $wanted or later, and this system has another C library"
    older=$(printf '%s\n' "$found" "$wanted" | sort -t. -k1,1n -k2,2n | head -n 1)
    [ "$older" = "$wanted" ] || refuse "this bundle needs glibc $wanted or later, and this system has $found"
}

check_python() {
    minor=$(about python)
    if [ -z "$python" ]; then
        for python in "python$minor" python3; do
            if command -v "$python" >/dev/null 2>&1; then break; fi
        done
    fi
    python=$(command -v "$python") ||
        refuse "Python $minor is needed, and there is none; share/docs/offline.md says where it comes from"
    found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || found=unknown
    [ "$found" != "$minor" ] || return 0
    case $found in
        [0-2].* | 3.[0-9] | 3.10)
            refuse "Python $minor is needed, and $python is $found; share/docs/offline.md says where a newer one comes from" ;;
        *) refuse "this bundle is for Python $minor, and $python is $found: take the bundle for that, or give --python" ;;
    esac
}

check_home() {
    if [ -d "$home/bin" ] && [ ! -L "$home/bin" ]; then
        refuse "$home is an environment that was made by hand; what runs goes on if you move it: mv $home $home.before"
    fi
    mkdir -p "$home" 2>/dev/null && [ -w "$home" ] || refuse "cannot write to $home: be root, or give --root"
}

installed() {
    cmp -s "$here/SHA256SUMS" "$home/$version/SHA256SUMS" && "$home/$version/bin/exmail-bridge" --version >/dev/null 2>&1
}

install_packages() {
    clean "$part/bin/python" "$pip" --isolated install --quiet --no-index --no-deps --no-compile --no-cache-dir --no-input \
        --disable-pip-version-check --root-user-action ignore --find-links "$here/wheels" "$@" ||
        refuse "cannot install the packages: see above"
}

# A command that runs with the Python beside it, wherever that is: what is sh here is a text for Python.
find_python_beside() {
    {
        printf '%s\n' '#!/bin/sh'
        printf '%s\n' "'''exec' \"\$(dirname \"\$(readlink -f \"\$0\")\")/python\" \"\$0\" \"\$@\""
        printf '%s\n' "' '''"
        sed -n '/^import /,$p' "$1"
    } >"$1.new"
    chmod 755 "$1.new"
    mv -f "$1.new" "$1"
}

# Make the environment under another name: what has the version's name is whole.
build() {
    part=$home/.$version.part
    trap 'rm -rf "$part"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    rm -rf "$part"
    clean "$python" -m venv --without-pip "$part" || refuse "Python's venv fails; on Debian and Ubuntu: apt install python3-venv"
    set -- "$here"/tools/pip-*.whl
    pip=$1/pip
    set -- "$here"/wheels/exmail_bridge-*.whl
    wheel=$1
    install_packages --require-hashes -r "$here/requirements.lock"
    install_packages "$wheel"
    # The only commands are Python and ours, and no file names the folder that this was made in.
    for file in "$part"/bin/*; do
        case ${file##*/} in
            python*) ;;
            exmail-bridge*) find_python_beside "$file" ;;
            *) rm -f "$file" ;;
        esac
    done
    for file in "$here/share/deploy/systemd"/*; do
        if [ -f "$file" ] && [ -x "$file" ]; then cp "$file" "$part/bin/"; fi
    done
    rm -f "$part"/lib/python*/site-packages/exmail_bridge-*.dist-info/direct_url.json
    sed -i '/^command = /d' "$part/pyvenv.cfg"
    clean "$part/bin/python" -m compileall -q -s "$part" -p "/opt/exmail-bridge/$version" "$part/lib" ||
        refuse "cannot compile the packages: see above"
    cp -R "$here/share" "$here/licences" "$here/sbom.cdx.json" "$here/BUNDLE" "$here/SHA256SUMS" "$here/install.sh" "$part/"
    # The services' user reads it, whatever the files of whoever unpacked the bundle are like.
    chmod -R u=rwX,go=rX "$part"
    rm -rf "$home/.$version.old"
    if [ -d "$home/$version" ]; then mv "$home/$version" "$home/.$version.old"; fi
    mv "$part" "$home/$version"
    rm -rf "$home/.$version.old"
}

# A unit that nobody changed follows the version; one that was changed here is the operator's, as all in /etc is.
place_units() {
    mkdir -p "$units" "$root/etc/exmail-bridge"
    for file in "$home/$1/share/deploy/systemd"/*; do
        name=${file##*/}
        case $name in *.service | *.socket | *.timer | *.target | *.slice) ;; *) continue ;; esac
        if [ -e "$units/$name" ] && ! cmp -s "$units/$name" "$home/$before/share/deploy/systemd/$name"; then
            cmp -s "$units/$name" "$file" ||
                say "$units/$name was changed here and is kept; the one of $1 is $file"
            continue
        fi
        rm -f "$units/.$name.new"
        cp "$file" "$units/.$name.new"
        chmod 644 "$units/.$name.new"
        mv -f "$units/.$name.new" "$units/$name"
    done
    # What the version before had and this one has not goes on working, and is the operator's to disable.
    [ -n "$before" ] || return 0
    for file in "$home/$before/share/deploy/systemd"/*.service; do
        name=${file##*/}
        if [ -e "$units/$name" ] && [ ! -e "$home/$1/share/deploy/systemd/$name" ]; then
            say "$units/$name is of $before, and $1 has no such unit: disable it, then remove the file"
        fi
    done
}

place_commands() {
    mkdir -p "$root/usr/local/bin"
    for file in "$home/$1/bin"/exmail-bridge*; do
        name=${file##*/}
        # What is no link was put there by somebody else.
        if [ -L "$root/usr/local/bin/$name" ] || [ ! -e "$root/usr/local/bin/$name" ]; then
            ln -sfn "../../../opt/exmail-bridge/current/bin/$name" "$root/usr/local/bin/$name"
        fi
    done
}

use() {
    if [ ! -x "$home/$1/bin/exmail-bridge" ]; then
        refuse "there is no version $1 in $home; there are: $(ls "$home" 2>/dev/null | grep '^[0-9]' | tr '\n' ' ')"
    fi
    before=$(readlink "$home/current" 2>/dev/null) || before=
    place_units "$1"
    place_commands "$1"
    ln -sfn current/bin "$home/bin"
    # A rename, so that there is no moment without a current version.
    rm -f "$home/.current"
    ln -s "$1" "$home/.current"
    mv -T -f "$home/.current" "$home/current"
    if [ -z "$root" ]; then
        if command -v restorecon >/dev/null 2>&1; then restorecon -R "$home" "$units" 2>/dev/null || :; fi
        if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi
    fi
    say "$1 is the current version, in $home/$1; nothing was started or restarted"
    if [ -n "$before" ] && [ "$before" != "$1" ]; then
        say "services take it at their next restart: systemctl restart 'exmail-bridge-*'"
        say "the way back: sh $home/$1/install.sh${root:+ --root $root} --use $before"
    elif [ -z "$before" ]; then
        say "what to do next is in $home/current/share/docs/deployment.md (deployment.zh-CN.md)"
    fi
}

here=$(cd "$(dirname "$0")" && pwd -P)
root=
python=
target=
while [ $# -gt 0 ]; do
    case $1 in
        --root | --python | --use)
            [ $# -ge 2 ] || refuse "$1 needs a word behind it"
            case $1 in
                --root) root=$2 ;;
                --python) python=$2 ;;
                --use) target=$2 ;;
            esac
            shift 2 ;;
        -h | --help)
            usage
            exit 0 ;;
        *)
            usage >&2
            exit 2 ;;
    esac
done
if [ -n "$root" ]; then
    mkdir -p "$root" 2>/dev/null || refuse "cannot write to $root"
    root=$(cd "$root" && pwd -P)
    root=${root%/}
fi
home=$root/opt/exmail-bridge
units=$root/etc/systemd/system

if [ -n "$target" ]; then
    check_home
    use "$target"
    exit 0
fi
check_files
check_machine
check_python
check_home
version=$(about version)
if installed; then
    say "$version is installed already, from this very bundle"
else
    say "installing $version with $python"
    build
    say "Redis users, the units' drop-ins for them, proxies, alerts and Grafana's files are in $home/$version/share/deploy, the board in $home/$version/share/dashboards"
fi
use "$version"
