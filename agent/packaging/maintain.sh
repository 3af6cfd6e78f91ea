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
    rm -f "$unit" /usr/local/bin/fleetps-agent
  fi
}

# The argument is "upgrade" where another version was there.
after_install() {
  add_user fleetps-agent
  add_user fleetps-control
  remove_earlier
  [ -d /run/systemd/system ] || return 0
  systemctl daemon-reload
  if [ "$1" = upgrade ]; then
    systemctl try-restart fleetps-agent.service fleetps-control.service
  elif [ -e /etc/fleetps/agent.toml ] && systemctl is-enabled --quiet fleetps-agent.service; then
    # It was removed and is back: it goes on as the host that it was.
    systemctl start fleetps-agent.service
    if systemctl is-enabled --quiet fleetps-control.socket; then systemctl start fleetps-control.socket; fi
  fi
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
