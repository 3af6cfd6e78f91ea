#!/bin/sh
# Installs fleetps-agent from a release: checks the signature first, then the sum, then unpacks.
#
#   sh install.sh FOLDER                 a folder (or https://…) with a release: SHA256SUMS, SHA256SUMS.minisig, the archives
#   sh install.sh --dry-run FOLDER       says what it would do, and does nothing
#   sh install.sh --to DIR FOLDER        into DIR instead of /usr (then it needs no root)
#
# Nothing is run, unpacked or kept of what is not signed with the key below, or the one that --key names. Signatures are
# checked by minisign or, where that is missing, by openssl 3.
set -eu

# The release key's public half; `.ci/release` puts it here.
key=@RELEASE_KEY@
to=/usr
dry=
from=

fail() { echo "install.sh: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

while [ $# -gt 0 ]; do
  case "$1" in
    --dry-run) dry=yes ;;
    --to) [ $# -gt 1 ] || fail "--to needs a folder"; to=$2; shift ;;
    --key) [ $# -gt 1 ] || fail "--key needs a key, as in RWQ…"; key=$2; shift ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) fail "there is no $1; --help says what there is" ;;
    *) [ -z "$from" ] || fail "one folder only"; from=$1 ;;
  esac
  shift
done
[ -n "$from" ] || fail "where is the release? Name its folder or https address; --help says more"
case "$key" in RW*) ;; *) fail "this copy has no release key; name it with --key" ;; esac
case "$(uname -s)" in Linux) ;; *) fail "this is for Linux, and here runs $(uname -s)" ;; esac
case "$(uname -m)" in
  x86_64 | amd64) machine=x86_64 ;;
  aarch64 | arm64) machine=aarch64 ;;
  *) fail "there is no file for $(uname -m); it can be compiled from source" ;;
esac
have sha256sum || fail "sha256sum is missing (coreutils, or busybox)"

# Its files are the package manager's to change.
if { have dpkg-query && dpkg-query -S "$to/bin/fleetps-agent"; } >/dev/null 2>&1 || { have rpm && rpm -qf "$to/bin/fleetps-agent"; } >/dev/null 2>&1; then
  fail "$to/bin/fleetps-agent belongs to a package; upgrade or remove that"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# Brings a file of the release into the work folder.
bring() {
  case "$from" in
    https://*)
      if have curl; then curl --proto '=https' -fsSL "$from/$1" -o "$work/$1"
      elif have wget; then wget -q "$from/$1" -O "$work/$1"
      else fail "curl or wget is needed to fetch $from/$1"; fi ;;
    *://*) fail "only https addresses and folders are read" ;;
    *) cp "$from/$1" "$work/$1" ;;
  esac || fail "cannot get $1 from $from"
}

# Ed25519 over the BLAKE2b sum of a file, as minisign signs, with openssl.
verify_with_openssl() {
  printf '%s' "$key" | base64 -d > "$work/key"
  sed -n 2p "$work/SHA256SUMS.minisig" | base64 -d > "$work/signature"
  [ "$(head -c 2 "$work/signature")" = ED ] || return 1
  # The number of the key, in both.
  [ "$(tail -c +3 "$work/key" | head -c 8 | od -An -tx1)" = "$(tail -c +3 "$work/signature" | head -c 8 | od -An -tx1)" ] || return 1
  { printf '\060\052\060\005\006\003\053\145\160\003\041\000'; tail -c 32 "$work/key"; } > "$work/key.der"
  tail -c 64 "$work/signature" > "$work/signature.raw"
  openssl dgst -blake2b512 -binary "$work/SHA256SUMS" > "$work/sum"
  openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/key.der" -rawin -in "$work/sum" -sigfile "$work/signature.raw" >/dev/null 2>&1
}

bring SHA256SUMS
bring SHA256SUMS.minisig
if have minisign; then
  minisign -Vqm "$work/SHA256SUMS" -x "$work/SHA256SUMS.minisig" -P "$key" || fail "the signature of SHA256SUMS is wrong; nothing was installed"
elif have openssl && openssl version | grep -q '^OpenSSL [3-9]'; then
  verify_with_openssl || fail "the signature of SHA256SUMS is wrong; nothing was installed"
else
  fail "neither minisign nor openssl 3 is here to check the signature; install one of them"
fi

archive=$(sed -n "s/^[0-9a-f]\{64\}  \(fleetps-agent-[0-9.]*-$machine-linux\.tar\.xz\)$/\1/p" "$work/SHA256SUMS")
[ -n "$archive" ] || fail "this release has no fleetps-agent for $machine"
bring "$archive"
(cd "$work" && grep "  $archive\$" SHA256SUMS | sha256sum -c - >/dev/null 2>&1) || fail "$archive is not what was signed; nothing was installed"
echo "signature and sum of $archive are right"

name=${archive%.tar.xz}
files=$(tar -tJf "$work/$archive") || fail "cannot unpack $archive; is xz installed?"
files=$(echo "$files" | sed -n "s#^$name/usr/\(.*[^/]\)\$#\1#p")
tar -xJf "$work/$archive" -C "$work"
for file in $files; do
  [ -f "$work/$name/usr/$file" ] || continue
  echo "${dry:+would put }$to/$file"
  [ -z "$dry" ] || continue
  mkdir -p "$to/$(dirname "$file")"
  # By way of a new file: the one that is there may be running.
  cp -p "$work/$name/usr/$file" "$to/$file.new" && mv "$to/$file.new" "$to/$file" || fail "cannot write $to/$file; are you root?"
done
if [ -n "$dry" ]; then echo "nothing was installed"; else echo "installed; next: sudo fleetps-agent join nats://FLEET:4222 --token TOKEN"; fi
