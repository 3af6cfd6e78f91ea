# What the package of the agent does beside its files: of the deb and of the rpm the same (`package` adds which of these is
# called when). The host's key and settings are `join`'s: nothing but a purge touches them.

add_user() {
  getent passwd "$1" >/dev/null ||
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$1"
}

# Where `join` put unit and program before there were packages, they would hide these for ever.
remove_earlier() {
  unit=/etc/systemd/system/fleetps-agent.service
  if [ -f "$unit" ] && head -n 1 "$unit" | grep -q '^# Written by `fleetps-agent join`'; then
    echo "fleetps-agent: the unit and the program of an earlier join give way to the package's"
    if grep -q CAP_DAC_READ_SEARCH "$unit"; then
      mkdir -p "$unit.d"
      printf '[Service]\nAmbientCapabilities=CAP_DAC_READ_SEARCH\nCapabilityBoundingSet=CAP_DAC_READ_SEARCH\n' > "$unit.d/disk-io.conf"
    fi
    config=$(sed -n 's/^ExecStart=[^ ]* --config //p' "$unit")
    if [ -n "$config" ] && [ "$config" != /etc/fleetps/agent.toml ]; then
      mkdir -p "$unit.d"
      # The text that `join --folder` writes, by which `leave` knows it.
      printf '# Written by `fleetps-agent join --folder`.\n[Unit]\nConditionPathExists=\nConditionPathExists=%s\n[Service]\nExecStart=\nExecStart=/usr/bin/fleetps-agent --config "%s"\n' "$config" "$config" > "$unit.d/settings.conf"
    fi
    rm -f "$unit" /usr/local/bin/fleetps-agent
  fi
  # Those of the control helper start the program that was removed.
  old=/etc/systemd/system/fleetps-control
  if grep -qs '^ExecStart=/usr/local/bin/fleetps-agent ' "$old.service"; then rm -f "$old.service" "$old.socket"; fi
}

# Has systemctl restart a unit. One that does not start is named, and the package is installed all the same.
attempt() { systemctl "$1" "$2" || echo "$2 did not start: journalctl -u $2" >&2; }

# Starts a unit again that is to run: one that runs, and one that would at the next boot. What was removed and is back goes
# on as the host that it was.
start_again() {
  if systemctl is-enabled --quiet "$1"; then attempt restart "$1"; else attempt try-restart "$1"; fi
}

after_install() {
  add_user fleetps-agent
  add_user fleetps-control
  # To read what units write.
  if getent group systemd-journal >/dev/null; then usermod --append --groups systemd-journal fleetps-control || true; fi
  remove_earlier
  [ -d /run/systemd/system ] || return 0
  systemctl daemon-reload
  # Before this host joined a fleet, the unit's condition keeps it from starting.
  start_again fleetps-agent.service
  start_again fleetps-control.socket
  attempt try-restart fleetps-control.service
}

before_remove() {
  [ -d /run/systemd/system ] || return 0
  systemctl stop fleetps-control.socket fleetps-control.service fleetps-agent.service
}

after_remove() {
  [ -d /run/systemd/system ] || return 0
  systemctl daemon-reload
}

purge() {
  rm -f /etc/fleetps/agent.toml /etc/fleetps/ca.pem /etc/polkit-1/rules.d/50-fleetps-control.rules
  rm -f /etc/systemd/system/multi-user.target.wants/fleetps-agent.service
  rm -f /etc/systemd/system/sockets.target.wants/fleetps-control.socket
  rm -rf /etc/systemd/system/fleetps-agent.service.d /var/lib/fleetps-agent /var/lib/fleetps-control
  rmdir /etc/fleetps 2>/dev/null || true
}
