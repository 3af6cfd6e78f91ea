//! Everything that is bounded: how much of it is in use, and how often that was not enough.

use std::time::Instant;

use fleetps_nats::status::QueueStatus;

use crate::{
    gate::Gate,
    live::BELIEVED_FOR,
    metrics::{Bounded, Exposition, names},
    state::AppState,
};

/// What this process bounds.
fn here(shared: &AppState) -> Vec<Bounded> {
    let AppState { live_pages, searches, filters, .. } = shared;
    let mut all = Vec::from(shared.connections.bounded());
    all.extend(live_pages.bounded("live-pages", None));
    all.extend(searches.bounded("fleet-searches", Some("fleet-searches-waiting")));
    all.extend(filters.bounded("filters", Some("filters-waiting")));
    all.extend(shared.past.bounded());
    all.extend(shared.console.bounded());
    all.extend(shared.audit_log.bounded());
    all.extend(shared.people.accounts().into_iter().flat_map(|accounts| accounts.bounded()));
    all.extend(shared.gate.as_ref().map(Gate::bounded));
    all.extend(shared.sockets.bounded());
    all.extend(shared.dispatching.bounded());
    all.extend(shared.commands.bounded());
    all.extend([
        shared.fleet_views.bounded(),
        shared.lines.bounded(),
        shared.groups.bounded(),
        shared.latest_events.bounded(),
        shared.latest_events.log.bounded(),
        shared.alerts.bounded(),
    ]);
    all
}

/// A series of each family: what it is of, the partition where it is an ingestor's, and the three values.
type Series = (String, String, [u64; 3]);

/// Writes them, with the queues of ingestors and admission, as these say themselves.
pub(super) fn write(shared: &AppState, now: Instant, exposition: &mut Exposition) {
    let of_this = here(shared).into_iter().map(|Bounded { of, in_use, limit, refused }| -> Series {
        (of.to_owned(), String::new(), [in_use, limit, refused])
    });
    let reports = shared.ingestors.all(now).into_iter().filter(|(_, age)| *age <= BELIEVED_FOR);
    let of_ingestors = reports.flat_map(|(status, _)| {
        let partition = status.partition.to_string();
        status.queues.into_iter().map(move |queue| series("ingest", partition.clone(), queue))
    });
    let of_admission = shared.admission.queues(now).into_iter();
    let of_admission = of_admission.map(|queue| series("admission", String::new(), queue));
    let all: Vec<Series> = of_this.chain(of_ingestors).chain(of_admission).collect();
    let families = [names::BOUNDED_IN_USE, names::BOUNDED_LIMIT, names::BOUNDED_REFUSED];
    for (place, family) in families.iter().enumerate() {
        let mut samples = exposition.family(family);
        for (of, partition, values) in &all {
            samples.add(&[of, partition], values[place]);
        }
    }
}

fn series(part: &str, partition: String, queue: QueueStatus) -> Series {
    (format!("{part}-{}", queue.name), partition, [queue.waiting, queue.bound, queue.dropped])
}
