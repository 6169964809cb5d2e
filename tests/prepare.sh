# shellcheck shell=bash
# Read by examples/run and tests/run: goes to the root of the checkout, and sets up what a fresh
# Debian machine lacks. What only the lab needs, the lab installs itself.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# Where the programs are built, as a path that can be typed at the root of the checkout.
built=${CARGO_TARGET_DIR:-target}/debug

# Of the whole workspace, so that every command compiles the dependencies with the same features,
# and so only once. CI must not change Cargo.lock.
workspace=(--workspace)
[[ -z ${CI:-} ]] || workspace+=(--locked)

fail() {
    printf '%s: %s\n' "$0" "$*" >&2
    exit 1
}

# What Rust and Go need besides themselves. Arguments: the parts of the Rust toolchain to have.
prepare() {
    # Where their installers put them, for shells that do not say so.
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin:/usr/local/go/bin
    [[ $(id -u) = 0 ]] || fail 'the lab makes machines and networks: run this as root'
    command -v cargo >/dev/null || fail 'there is no cargo: install Rust first'
    command -v go >/dev/null || fail 'there is no go: install Go first'
    local part
    for part; do
        if ! cargo "$part" --version >/dev/null 2>&1; then
            echo "adding to the Rust toolchain: $part"
            rustup component add "${part/#fmt/rustfmt}"
        fi
    done
    # A linker for Rust, and a C compiler for SQLite.
    command -v cc >/dev/null || install gcc libc6-dev
}

install() {
    echo "installing Debian packages: $*"
    local apt=(apt-get -qq -y --no-install-recommends install)
    export DEBIAN_FRONTEND=noninteractive
    # Without package lists, or with old ones, they are fetched first.
    "${apt[@]}" "$@" >/dev/null 2>&1 || { apt-get -qq update && "${apt[@]}" "$@" >/dev/null; }
}

# Installs what the tests of hosts need, without starting what Debian would start with it.
install_for_hosts() {
    local program package lacking=() policy=/usr/sbin/policy-rc.d
    while read -r program package; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || lacking+=("$package")
    done <<'EOF'
sshd openssh-server
ssh openssh-client
ssh-keygen openssh-client
sudo sudo
busybox busybox
tcsh tcsh
fish fish
setfacl acl
setfattr attr
chattr e2fsprogs
ip iproute2
unshare util-linux
EOF
    ((${#lacking[@]})) || return 0
    if [[ -e $policy ]]; then
        install "${lacking[@]}"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    local code=0
    install "${lacking[@]}" || code=$?
    rm "$policy"
    return "$code"
}

build() {
    cargo build "${workspace[@]}" --bin "$1"
}

# What `lab status` says of one thing, such as `fault`; nothing if the lab is not up.
lab_status() {
    local status
    status=$("$built/lab" status)
    awk -v of="$1" '$1 == of { print $2 }' <<<"$status"
}

lab_is_up() {
    [[ -n $(lab_status fault) ]]
}

# A lab with a fault is never well, and so `up` would wait in vain.
heal_if_broken() {
    if [[ $(lab_status fault) = [!n]* ]]; then
        echo 'the lab still has the fault of an earlier run'
        "$built/lab" heal || { echo 'it cannot be healed: making it anew'; "$built/lab" down; }
    fi
}
