#!/usr/bin/env bash
# Builds Jangada on this machine and installs it as one static binary.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
. .ci/toolchain

usage() {
    cat <<END
Usage: sudo ./install.sh [--demo] [--prefix DIR] [--prepare]

  --demo         after installing, start the default cluster and play the story of checkout-api
  --prefix DIR   install below DIR (default /usr/local)
  --prepare      only get what the build needs: Debian packages and a Swift toolchain

Runs on Debian 12 or later and Ubuntu 22.04 or later, amd64 and arm64. A second run changes only what is out of date.
END
}

die() { echo "error: $1" >&2; [ $# -lt 2 ] || echo "  $2" >&2; exit 1; }
say() { printf '%s\n' "$*"; }

demo=no prefix=/usr/local prepare_only=no
while [ $# -gt 0 ]; do
    case "$1" in
        --demo) demo=yes ;;
        --prefix) [ $# -ge 2 ] || die "--prefix needs a directory"; prefix=$2; shift ;;
        --prefix=*) prefix=${1#--prefix=} ;;
        --prepare) prepare_only=yes ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; die "unknown option: $1" ;;
    esac
    shift
done

# MARK: - The machine

check_machine() {
    [ "$(id -u)" = 0 ] || die "installing needs root" "Try: sudo ./install.sh"
    [ "$(uname -s)" = Linux ] || die "Jangada runs on Linux only"
    command -v apt-get >/dev/null || die "this script knows Debian and Ubuntu only" \
        "Elsewhere: install the packages of .ci/toolchain, then: swift build -c release --product jangada -Xswiftc -static-executable"
    case "$(uname -m)" in
        x86_64 | aarch64) ;;
        *) die "unsupported processor: $(uname -m)" "Jangada is built for amd64 and arm64." ;;
    esac
    local release major minor
    release=$(uname -r)
    major=${release%%.*}
    minor=${release#*.}
    minor=${minor%%[!0-9]*}
    [ "$major" -gt 5 ] || { [ "$major" = 5 ] && [ "$minor" -ge 10 ]; } || die "Linux $release is too old" "Jangada needs 5.10 or later."
    local missing=() name
    for name in net mnt pid uts ipc; do [ -e "/proc/self/ns/$name" ] || missing+=("$name namespaces"); done
    [ -e /proc/cgroups ] || missing+=("cgroups")
    grep -qw overlay /proc/filesystems || modprobe -q overlay 2>/dev/null || missing+=("overlayfs (module overlay)")
    grep -q '^Seccomp:' /proc/self/status || missing+=("seccomp")
    # What cannot be asked without trying may be built in; the daemon says so with the kernel's own words where it is not.
    for name in nf_tables bridge veth; do modprobe -q "$name" 2>/dev/null || true; done
    [ ${#missing[@]} = 0 ] || die "this kernel lacks: $(IFS=,; echo "${missing[*]}" | sed 's/,/, /g')" "Use a distribution's own kernel, or a virtual machine."
}

# MARK: - The toolchain

# swift.org signs its archives; this is the fingerprint of the key of the 6.x releases.
SWIFT_KEY=52BB7E3DE28A71BE22EC05FFEF80A866B47A981F

swift_platform() {
    . /etc/os-release
    case "${ID:-}:${VERSION_ID:-}" in
        ubuntu:22.* | ubuntu:23.*) echo ubuntu22.04 ;;
        ubuntu:*) echo ubuntu24.04 ;;
        *) echo debian12 ;;
    esac
}

get_swift() {
    local platform suffix="" url work
    platform=$(swift_platform)
    [ "$(uname -m)" != aarch64 ] || suffix=-aarch64
    url="https://download.swift.org/swift-$SWIFT_WANTED-release/${platform//./}$suffix/swift-$SWIFT_WANTED-RELEASE/swift-$SWIFT_WANTED-RELEASE-$platform$suffix.tar.gz"
    apt_install curl gnupg libcurl4-openssl-dev libedit2 libncurses6 libpython3-dev libsqlite3-0 libxml2-dev libz3-dev tzdata unzip
    work=$scratch
    say "Downloading Swift $SWIFT_WANTED for $platform$suffix (about 1 GB) ..."
    curl -fsSL --retry 3 --connect-timeout 20 -o "$work/swift.tar.gz" "$url" -o "$work/swift.tar.gz.sig" "$url.sig" \
        -o "$work/keys.asc" https://www.swift.org/keys/all-keys.asc || die "Swift $SWIFT_WANTED cannot be downloaded from here" \
        "Get it by hand from $url, unpack it as /opt/swift-$SWIFT_WANTED (with usr/bin/swift inside), and run this again."
    (
        export GNUPGHOME=$work/gnupg
        mkdir -m 700 "$GNUPGHOME"
        gpg --batch --quiet --import "$work/keys.asc" 2>/dev/null || true
        gpg --batch --status-fd 1 --verify "$work/swift.tar.gz.sig" "$work/swift.tar.gz" 2>/dev/null | grep -q "^\[GNUPG:\] VALIDSIG .*$SWIFT_KEY"
    ) || die "the downloaded Swift archive is not signed by swift.org's release key $SWIFT_KEY" "Nothing was installed. Try again later."
    mkdir -p "/opt/swift-$SWIFT_WANTED.new"
    tar -xzf "$work/swift.tar.gz" --strip-components=1 -C "/opt/swift-$SWIFT_WANTED.new"
    mv "/opt/swift-$SWIFT_WANTED.new" "/opt/swift-$SWIFT_WANTED"
}

prepare() {
    apt_install "${APT_PACKAGES[@]}" || die "apt-get cannot install what the build needs" "Is there a network? The packages: ${APT_PACKAGES[*]}"
    find_swift || get_swift
    find_swift || die "no Swift toolchain" "Get Swift $SWIFT_WANTED from https://www.swift.org/install/linux and run this again."
}

# MARK: - Building and installing

# Copies only what differs, by rename: a running daemon keeps the file it was started from.
put() {
    local source=$1 target=$2 mode=$3
    if cmp -s "$source" "$target"; then return 0; fi
    changed=yes
    mkdir -p "$(dirname "$target")"
    install -m "$mode" "$source" "$target.new"
    mv "$target.new" "$target"
    say "Installed $target"
}

build() {
    local binary stripped
    # A scratch directory of its own, as the flags differ from the tests'. Warnings are no errors here: a newer compiler may have more of them.
    say "Building (the first time takes some minutes) ..."
    swift build -c release --product jangada --scratch-path .build/static -Xswiftc -static-executable </dev/null
    binary=$(swift build -c release --scratch-path .build/static --show-bin-path </dev/null 2>/dev/null)/jangada
    stripped=.build/static/jangada
    if [ ! -e "$stripped" ] || [ "$binary" -nt "$stripped" ]; then
        strip -o "$stripped.new" "$binary"
        mv "$stripped.new" "$stripped"
    fi
    Images/build
    changed=no
    put "$stripped" "$prefix/bin/jangada" 755
    replaced=$changed
    say "$prefix/bin/jangada: $(du -h --apparent-size "$prefix/bin/jangada" | cut -f1)"
}

# A daemon goes on as the program that it was started from. Its containers do not notice that it is replaced.
restart() {
    local root name
    for root in /var/lib/jangada /var/lib/jangada-*; do
        [ -e "$root/settings.json" ] || continue
        name=jangada
        [ "$root" = /var/lib/jangada ] || name=${root#/var/lib/jangada-}
        "$prefix/bin/jangada" status --name "$name" >/dev/null 2>&1 || continue
        say "Restarting the daemon of the cluster $name; its containers go on ..."
        "$prefix/bin/jangada" down --keep --name "$name"
        "$prefix/bin/jangada" up --no-kubeconfig --name "$name"
    done
}

completions() {
    local work=$scratch
    "$prefix/bin/jangada" completion bash >"$work/bash" && put "$work/bash" "$prefix/share/bash-completion/completions/jangada" 644
    "$prefix/bin/jangada" completion zsh >"$work/zsh" && put "$work/zsh" "$prefix/share/zsh/site-functions/_jangada" 644
    "$prefix/bin/jangada" completion fish >"$work/fish" && put "$work/fish" "$prefix/share/fish/vendor_completions.d/jangada.fish" 644
}

images() {
    local name file
    for name in checkout-api order-worker; do
        for file in "Images/$name/Dockerfile" "Images/$name/build/$name"; do
            put "$file" "$prefix/share/jangada/Images/${file#Images/}" "$(stat -c %a "$file")"
        done
    done
}

check_machine
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
prepare
[ "$prepare_only" = no ] || exit 0
build
completions
images
[ "$replaced" = no ] || restart
if [ "$demo" = yes ]; then
    rm -rf "$scratch"
    exec "$prefix/bin/jangada" demo --images "$prefix/share/jangada/Images"
else
    say "Next: sudo jangada up, then kubectl get nodes. Or: sudo jangada demo"
fi
