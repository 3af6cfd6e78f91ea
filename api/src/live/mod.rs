//! The present: what every host said last.
//!
//! `intake` reads the stream of snapshots from the broker into a `fleet` of hosts (`fleet_state` is what its lock
//! guards), on a thread of its own. `summary` is
//! kept decoded for each host (the rest is `kept` compressed until a page asks for it; a `fleet_view` is what pages of the
//! fleet get), with its CPU peaks of the
//! `past_hour`. `programs` adds up the fleet's programs as snapshots arrive; `left_out` counts hosts that were not heard
//! of for long; `search` filters the processes of all hosts, and `suggest` what is called like a text, by the
//! names of users and units in `tally`; `tracked` keeps what metrics of hosts say. `moment` is one
//! host's latest snapshot with the one before it, decoded; `recent` reads earlier ones from the stream, and `replay` all of a
//! host from a `position` on. `readiness` is how the ingestors are doing, `arrivals` whether published snapshots are
//! stored, `admission` the refusals of the broker, `agent_versions` the
//! agents of another version. By way of `followed_stream`, `latest_events` is what the ingestor
//! decided that is in no segment yet, `event_log` the same in the order of its stream, `alerts` what became of alerts.
//! Nothing here is stored: after a restart the broker delivers the last snapshot of every host again.

mod admission;
pub(crate) mod agent_versions;
mod alerts;
mod arrivals;
mod event_log;
mod fleet;
mod fleet_changes;
mod fleet_state;
mod fleet_view;
mod followed_stream;
mod intake;
mod kept;
mod latest_events;
mod left_out;
mod moment;
mod past_hour;
mod position;
mod programs;
mod readiness;
pub(crate) mod recent;
pub(crate) mod replay;
mod search;
mod suggest;
mod summary;
mod tally;
mod tracked;

pub(crate) use admission::{AdmissionReports, watch_admission};
pub(crate) use alerts::{Alerts, OpenAlert};
pub(crate) use arrivals::{Arrivals, watch_arrivals};
pub(crate) use event_log::{EventLog, Told};
pub use fleet::Fleet;
pub(crate) use fleet::MeasuredHost;
pub(crate) use fleet_changes::FleetChanges;
pub(crate) use fleet_view::FleetView;
pub use fleetps_nats::model::HostState;
pub(crate) use fleetps_nats::model::ProcessRates;
pub use fleetps_nats::{now_us, steady_us};
pub use intake::{Intake, Shown, follow};
pub use latest_events::LatestEvents;
pub(crate) use moment::{Moment, withhold_command_lines};
pub(crate) use past_hour::PastHour;
pub(crate) use position::{NotAPosition, Position};
pub(crate) use programs::ProgramTotals;
pub(crate) use readiness::{BELIEVED_FOR, Check, IngestorReports, watch_ingestors};
pub(crate) use search::LiveSearch;
pub(crate) use suggest::{Named, NamedProcess, Suggested, Wanted};
pub(crate) use summary::{Busiest, MAX_BUSIEST, Summary};
pub(crate) use tracked::{HostFigures, ProgramUse};
