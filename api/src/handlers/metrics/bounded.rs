//! Everything that is bounded: how much of it is in use, and how often that was not enough.

use std::time::Instant;

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
    all.extend([
        shared.fleet_views.bounded(),
        shared.groups.bounded(),
        shared.latest_events.bounded(),
        shared.alerts.bounded(),
    ]);
    all
}

/// Writes them, with the queues of ingestors and admission, as these say themselves. Several queues of one name are added
/// up.
pub(super) fn write(shared: &AppState, now: Instant, exposition: &mut Exposition) {
    let mut all: Vec<(String, [u64; 3])> = here(shared)
        .into_iter()
        .map(|Bounded { of, in_use, limit, refused }| (of.to_owned(), [in_use, limit, refused]))
        .collect();
    let reports = shared.ingestors.all(now).into_iter().filter(|(_, age)| *age <= BELIEVED_FOR);
    let of_ingestors = reports.flat_map(|(status, _)| status.queues).map(|queue| ("ingest", queue));
    let of_admission = shared.admission.queues().into_iter().map(|queue| ("admission", queue));
    for (part, queue) in of_ingestors.chain(of_admission) {
        let name = format!("{part}-{}", queue.name);
        let counts = [queue.waiting, queue.bound, queue.dropped];
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => {
                known.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(count));
            }
            None => all.push((name, counts)),
        }
    }
    let families = [names::BOUNDED_IN_USE, names::BOUNDED_LIMIT, names::BOUNDED_REFUSED];
    for (place, family) in families.iter().enumerate() {
        let mut samples = exposition.family(family);
        for (name, counts) in &all {
            samples.add(&[name], counts[place]);
        }
    }
}
