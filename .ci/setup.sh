# What ./run and ./test share: installing what is missing, and building the page. Sourced by both, from the root.
# Each function does nothing, quickly, when there is nothing to do. Steps are joined by &&, because bash does not
# stop at a failure inside a function whose result is asked for.

PATH=$PATH:$HOME/.cargo/bin
# Where cargo puts what it builds.
target=${CARGO_TARGET_DIR:-target}

fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else fail "needs root (or sudo) for: $*"; fi
}

# install_system PACKAGE... : asks apt for those that dpkg does not know.
install_system() {
    local package missing=()
    for package in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return 0
    command -v apt-get >/dev/null || fail "please install: ${missing[*]}"
    echo "installing ${missing[*]}" >&2
    as_root apt-get -qq update &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
}

# What every build needs. A toolchain is not downloaded: it is yours to choose.
install_build_tools() {
    # The quick way first: these answer in milliseconds on a machine that has them.
    if ! { command -v cc && command -v pkg-config && pkg-config --exists libcrypto; } >/dev/null 2>&1; then
        install_system build-essential pkg-config libssl-dev
    fi
    command -v cargo >/dev/null || fail "needs Rust 1.95 or newer (cargo), for example by rustup"
    has_version "$(cargo --version | cut -d' ' -f2)" 1.95 || fail "needs Rust 1.95 or newer, found $(cargo --version)"
    command -v npm >/dev/null || fail "needs Node.js 20.19 or newer (with npm)"
    has_version "$(node --version | tr -d v)" 20.19 || fail "needs Node.js 20.19 or newer, found $(node --version)"
}

# has_version FOUND WANTED : whether FOUND is WANTED or newer.
has_version() { printf '%s\n%s\n' "$2" "$1" | sort -C -V; }

# npm's own record of what it installed is newer than the lock file: nothing to do.
install_ui() {
    [ ui/node_modules/.package-lock.json -nt ui/package-lock.json ] && return 0
    (cd ui && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund --loglevel=error) &&
        touch ui/node_modules/.package-lock.json
}

# The built page is newer than everything it is built from: nothing to do.
build_ui() {
    local inputs=(ui/src ui/public ui/index.html ui/package-lock.json ui/package.json ui/vite.config.ts ui/svelte.config.js)
    if [ -f ui/dist/index.html ] && [ -z "$(find "${inputs[@]}" -newer ui/dist/index.html -print -quit 2>/dev/null)" ]; then
        return 0
    fi
    (cd ui && npm run --silent build) && touch ui/dist/index.html
}
