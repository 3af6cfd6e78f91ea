//! What the benchmarks and the tests of the whole program reach. Nothing else of this crate is public, so that the compiler
//! finds code that nobody uses.
#![allow(missing_docs, reason = "each module has the name of the one that it is a part of")]

pub mod config {
    pub use crate::config::{LegacySettings, QuestionSettings};
}

pub mod connections {
    pub use crate::connections::{Connections, Limits, serve};
}

pub mod console {
    pub use crate::console::{Console, EXAMPLES};
}

pub mod dispatch {
    pub use crate::dispatch::{
        Acknowledged, DispatchFigures, DispatchSettings, Dispatching, Muted, World, run,
    };
}

pub mod display {
    pub use crate::display::{is_treacherous, time_exact};
}

pub mod gate {
    pub use crate::gate::{BodyHash, Entered, Gate, Incoming, NotStored, Stored};
}

pub mod live {
    pub use crate::live::{Fleet, HostState, Intake, LatestEvents, Shown, follow, now_us, steady_us};
}

pub mod metrics {
    pub use crate::metrics::{Family, Kind, names::ALL};
}

pub mod notify {
    pub use crate::notify::{
        ACKNOWLEDGEMENTS, Acknowledgement, Again, Allowed, BUCKET, BadChannel, Channel, Chart, Counts,
        Courier, Culprit, Day, Escalation, Facts, Failure, Figure, Grouping, KeptBack, Kind,
        MAX_ACKNOWLEDGEMENTS, MAX_CHANNELS, MAX_ROUTES, MAX_SILENCES, Matcher, Means, Message, Notification,
        Outbox, OutboxError, Pace, Plan, Planned, Point, Quiet, ROUTES, Record, RecordError, Records, Route,
        RouteList, Rules, SILENCES, Schedule, Sender, Sent, Severity, Silence, State, Subject, Threads, When,
        Why, check, check_id, group, plan, silenced_by,
    };
}

pub mod history_service {
    pub use crate::history_service::{AskedFor, HistoryService};
}

pub mod auth {
    pub use crate::auth::{
        Accounts, Addresses, By, ClientInfo, Cookie, Grant, People, Person, Principal, PrincipalKind, Role,
        Secret, Session, SignInSettings, UserName, set_cookie,
    };
    pub mod tokens {
        pub use crate::auth::tokens::{TokenScope, text};
    }
}

pub mod audit_log {
    pub use crate::audit_log::AuditLog;
}

pub mod legacy {
    pub use crate::legacy::{Import, KeyHash, LegacyDoor, Report, System, WINDOWS, Window};
}

pub mod routes {
    pub use crate::routes::{Route, addresses, interface, router, table};
}

pub mod authz {
    pub use crate::authz::Permission;
}

pub mod server {
    pub use crate::server::{Doors, Health, run};
}

pub mod state {
    pub use crate::state::{AppState, live_pages};
}

pub mod sockets {
    pub use crate::sockets::{FeedKey, Mark, SocketFigures, Sockets};
}

pub mod tls {
    pub use crate::tls::{Certificates, TlsFiles, TlsListener, TlsSettings, make, make_client};
}

pub mod view {
    pub mod when {
        pub use crate::view::when::written;
    }
}

pub mod openapi {
    pub use crate::openapi::{Interface, Listed, outline};
}
