"""Reads a fleet with the client that was generated from docs/openapi.json. The argument is the address of fleetps."""

import sys
import time

from fleetps_client import Client
from fleetps_client.api.default import get_events, get_hosts, get_hosts_host_processes, get_top
from fleetps_client.models import GetTopGroup

client = Client(base_url=sys.argv[1], raise_on_unexpected_status=True)


def until(what, ask):
    """What `ask` answers, as soon as it is something."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = ask()
        if found:
            return found
        time.sleep(0.2)
    sys.exit(f"waited for {what} for a minute")


hosts = until("hosts", lambda: get_hosts.sync(client=client).hosts)
names = sorted(host.host for host in hosts)
assert all(host.state in ("up", "silent", "down") for host in hosts), hosts

processes = until("processes", lambda: get_hosts_host_processes.sync(names[0], client=client, limit=5).processes)
assert all(isinstance(process.pid, int) and process.name for process in processes), processes

events = until("events", lambda: get_events.sync(client=client, range_="1h", limit=5).events)
# Hosts that have come since are among those of the events.
names = sorted(host.host for host in get_hosts.sync(client=client).hosts)
assert all(event.host in names and event.occurred_at.tzinfo for event in events), events

top = until("what used most", lambda: get_top.sync(client=client, group=GetTopGroup.NAME, limit=5).top)
assert all(line.processes >= 1 for line in top), top

print(f"the generated client reads {len(names)} hosts, {len(processes)} processes, {len(events)} events, {len(top)} lines of top")
