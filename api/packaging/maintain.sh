# What the package of the server does beside its files: of the deb and of the rpm the same (agent/packaging/package adds which of
# these is called when). Nothing here touches the history in /var/lib/fleetps, not even a purge.

add_user() {
  getent passwd "$1" >/dev/null ||
    useradd --system --user-group --no-create-home --home-dir "$2" --shell /usr/sbin/nologin "$1"
}

# Has systemctl restart a unit. One that does not start is named, and the package is installed all the same.
attempt() { systemctl "$1" "$2" || echo "$2 did not start: journalctl -u $2" >&2; }

# Starts a unit again that is to run: one that runs, and one that would at the next boot.
start_again() {
  if systemctl is-enabled --quiet "$1"; then attempt restart "$1"; else attempt try-restart "$1"; fi
}

after_install() {
  add_user fleetps /var/lib/fleetps
  add_user fleetps-broker /nonexistent
  # `fleetps broker-keys` writes there before a service has made it.
  [ -d /var/lib/fleetps ] || install -d -m 700 -o fleetps -g fleetps /var/lib/fleetps
  [ -d /run/systemd/system ] || return 0
  systemctl daemon-reload
  # In this order: who reads a broker waits for it.
  for unit in fleetps-broker fleetps-ingestor fleetps-serve fleetps; do start_again "$unit.service"; done
}

before_remove() {
  [ -d /run/systemd/system ] || return 0
  systemctl stop fleetps.service fleetps-serve.service fleetps-ingestor.service fleetps-broker.service
}

after_remove() {
  [ -d /run/systemd/system ] || return 0
  systemctl daemon-reload
}

purge() {
  for unit in fleetps fleetps-serve fleetps-ingestor fleetps-broker; do
    rm -f "/etc/systemd/system/multi-user.target.wants/$unit.service"
    rm -rf "/etc/systemd/system/$unit.service.d"
  done
  rm -rf /var/cache/fleetps
  rmdir /etc/fleetps /var/lib/fleetps 2>/dev/null || true
  if [ -e /var/lib/fleetps ]; then echo "fleetps: the history stays in /var/lib/fleetps; remove it by hand"; fi
}
