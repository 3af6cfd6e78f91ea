//! Every metric, with what it says.

use super::{Family, Kind};

/// Declares families: the comment of each is its help.
macro_rules! families {
    ($($(#[doc = $help:literal])+ $constant:ident: $kind:ident $name:literal [$($label:literal),*];)+) => {
        $(
            $(#[doc = $help])+
            pub(crate) const $constant: Family = Family {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: concat!($($help),+).trim_ascii(),
            };
        )+

        /// All of them, in this order.
        pub const ALL: &[&Family] = &[$(&$constant),+];
    };
}

families! {
    /// The version of fleetps that answers.
    BUILD: Info "fleetps_build" ["version"];
    /// Whether a part works, as /readyz says: broker, intake, history, state.
    READY: Gauge "fleetps_ready" ["part"];
    /// Warnings while everything works, as in /readyz.
    WARNINGS: Gauge "fleetps_warnings" [];
    /// When the certificate of the pages ends, in seconds since 1970. Absent without TLS.
    CERTIFICATE_EXPIRY: Gauge "fleetps_certificate_expiry_timestamp_seconds" [];

    /// Hosts by state: up, paused, silent or down.
    HOSTS: Gauge "fleetps_hosts" ["state"];
    /// Hosts that were not heard of for long and are shown no more.
    HOSTS_LEFT_OUT: Gauge "fleetps_hosts_left_out" [];
    /// Alerts that are open, by severity.
    ALERTS: Gauge "fleetps_alerts" ["severity"];
    /// Messages about alerts that this server decided to send.
    NOTIFICATIONS_DISPATCHED: Counter "fleetps_notifications_dispatched" [];
    /// Changes of alerts that nobody is told of, by reason: late, rule_changed, silenced, no_route, began_untold.
    NOTIFICATIONS_KEPT_BACK: Counter "fleetps_notifications_kept_back" ["reason"];
    /// What this server did with the outbox: put, repeats, refused, sent, retried, perhaps_twice, undeliverable, forgotten.
    NOTIFICATIONS: Counter "fleetps_notifications" ["what"];
    /// Messages that wait in the outbox.
    NOTIFICATIONS_WAITING: Gauge "fleetps_notifications_waiting" [];
    /// How old the oldest message in the outbox is; 0 where none waits. In quiet hours messages wait on purpose.
    NOTIFICATIONS_OLDEST: Gauge "fleetps_notifications_oldest_waiting_seconds" [];
    /// When a watcher last heard that alerts are evaluated, in seconds since 1970. Absent until one did.
    HEARTBEAT: Gauge "fleetps_heartbeat_last_success_timestamp_seconds" [];
    /// Times that no watcher took that alerts are evaluated.
    HEARTBEATS_FAILED: Counter "fleetps_heartbeats_failed" [];
    /// Times that no watcher was told, because alerts are not evaluated or not told.
    HEARTBEATS_WITHHELD: Counter "fleetps_heartbeats_withheld" [];
    /// Processes of the hosts that are up.
    PROCESSES: Gauge "fleetps_processes" [];

    /// The last sequence of the stream that an ingestor has read.
    READ_SEQUENCE: Gauge "fleetps_ingest_read_sequence" ["partition"];
    /// The last sequence of the stream that is in a sealed segment.
    SEALED_SEQUENCE: Gauge "fleetps_ingest_sealed_sequence" ["partition"];
    /// Messages of the stream that an ingestor has not read.
    PENDING: Gauge "fleetps_ingest_pending_messages" ["partition"];
    /// For how long the message that was read last has been in the stream, while others wait; 0 while none do.
    READ_LAG: Gauge "fleetps_ingest_read_lag_seconds" ["partition"];
    /// How old the last sealed snapshot is, or the first that waits, while some wait to be sealed; 0 while none do.
    SEAL_LAG: Gauge "fleetps_ingest_seal_lag_seconds" ["partition"];
    /// How long ago an ingestor last said how it is; it does so every 5 seconds.
    REPORT_AGE: Gauge "fleetps_ingest_report_age_seconds" ["partition"];
    /// Snapshots that were stored.
    STORED: Counter "fleetps_ingest_snapshots_stored" ["partition"];
    /// Snapshots that were not stored because they were stored before.
    DUPLICATES: Counter "fleetps_ingest_snapshots_duplicate" ["partition"];
    /// Messages that were refused, by reason.
    REFUSED: Counter "fleetps_ingest_refused" ["partition", "reason"];
    /// How often reading waited for a consumer of the stream whose queue was full.
    WAITS: Counter "fleetps_ingest_waits" ["partition", "consumer"];
    /// Events that were stored and could not be published.
    UNPUBLISHED_EVENTS: Counter "fleetps_ingest_events_unpublished" ["partition"];
    /// For how long the message whose alerts were evaluated last has been in the stream, while others wait; 0 while none do.
    ALERT_LAG: Gauge "fleetps_alert_lag_seconds" ["partition"];
    /// Rules of alerts that are evaluated.
    ALERT_RULES: Gauge "fleetps_alert_rules" ["partition"];
    /// Processes, programs, hosts and others of which a rule remembers something.
    ALERT_INSTANCES: Gauge "fleetps_alert_instances" ["partition"];
    /// Changes of alerts that were published.
    ALERT_CHANGES: Counter "fleetps_alert_changes_published" ["partition"];
    /// Changes of alerts that were decided again, and were in the stream.
    ALERT_REPEATS: Counter "fleetps_alert_changes_repeated" ["partition"];
    /// Alerts that were not raised, because their rule had too many.
    ALERTS_BEYOND: Counter "fleetps_alerts_not_raised" ["partition"];
    /// Whether alerts can be evaluated and published.
    ALERTS_WORK: Gauge "fleetps_alerts_work" ["partition"];
    /// Segments in use, by level: fresh, hour, day and those of less resolution.
    SEGMENTS: Gauge "fleetps_segments" ["partition", "level"];
    /// Their size on disk.
    SEGMENT_BYTES: Gauge "fleetps_segment_bytes" ["partition", "level"];
    /// How old the oldest fresh segment is; up to an hour and some minutes while merging keeps up.
    MERGE_LAG: Gauge "fleetps_merge_lag_seconds" ["partition"];
    /// Segments that were sealed.
    SEALS: Counter "fleetps_seals" ["partition"];
    /// The time that sealing took.
    SEAL_SECONDS: Counter "fleetps_seal_seconds" ["partition"];
    /// Merges, which write one segment in place of others.
    MERGES: Counter "fleetps_merges" ["partition"];
    /// The time that merging took.
    MERGE_SECONDS: Counter "fleetps_merge_seconds" ["partition"];
    /// Merges that failed; they are tried again.
    MERGE_FAILURES: Counter "fleetps_merge_failures" ["partition"];
    /// Segments that cannot be read, so that answers lack them.
    SEGMENTS_UNREADABLE: Gauge "fleetps_segments_unreadable" [];

    /// Connections and subjects that the broker refused, by reason.
    ADMISSION_REFUSED: Counter "fleetps_admission_refused" ["reason"];
    /// Snapshots that these pages do not show, by reason.
    LIVE_IGNORED: Counter "fleetps_live_snapshots_ignored" ["reason"];
    /// How often the present was too far behind and was read anew.
    LIVE_RESTARTS: Counter "fleetps_live_restarts" [];

    /// Connections to this server that ended against the client's will or were not let in, by reason.
    CONNECTIONS_REFUSED: Counter "fleetps_connections_refused" ["reason"];
    /// The time from a request to the beginning of its answer, by route, method and class of status.
    HTTP_REQUEST_DURATION: Histogram "fleetps_http_request_duration_seconds" ["route", "method", "status"];
    /// Snapshots that hosts posted and that were not stored, by reason.
    POSTS_REFUSED: Counter "fleetps_http_posts_refused" ["reason"];
    /// Requests of older systems, by what became of them: stored, a repeat, or why they were refused.
    LEGACY_REQUESTS: Counter "fleetps_legacy_requests" ["outcome"];
    /// Topics that are watched on WebSockets.
    WEBSOCKET_TOPICS: Gauge "fleetps_websocket_topics" [];
    /// WebSockets that were opened.
    WEBSOCKET_OPENED: Counter "fleetps_websocket_opened" [];
    /// Messages that were sent on WebSockets, without those of the protocol itself.
    WEBSOCKET_MESSAGES: Counter "fleetps_websocket_messages" [];
    /// Their bytes.
    WEBSOCKET_BYTES: Counter "fleetps_websocket_bytes" [];
    /// Samples that were not sent because a later one of the same host was.
    WEBSOCKET_SKIPPED: Counter "fleetps_websocket_skipped" [];
    /// Gaps that clients were told of.
    WEBSOCKET_GAPS: Counter "fleetps_websocket_gaps" [];
    /// WebSockets that were closed or refused, by reason.
    WEBSOCKET_CLOSED: Counter "fleetps_websocket_closed" ["reason"];
    /// How much of something bounded is in use: a queue, what goes on at once, or a cache (of a name in -bytes, in bytes).
    BOUNDED_IN_USE: Gauge "fleetps_bounded_in_use" ["of", "partition"];
    /// How much of it there is.
    BOUNDED_LIMIT: Gauge "fleetps_bounded_limit" ["of", "partition"];
    /// What was refused, dropped or pushed out for want of it.
    BOUNDED_REFUSED: Counter "fleetps_bounded_refused" ["of", "partition"];

    /// Whether a host is heard of. One that is silent or down has no other series.
    HOST_UP: Gauge "fleetps_host_up" ["host"];
    /// CPU use over the last interval, in percent of all cores together.
    HOST_CPU: Gauge "fleetps_host_cpu_percent" ["host"];
    /// Time of all cores together since boot: busy, idle, or idle while a process waits for a disk (iowait).
    HOST_CPU_SECONDS: Counter "fleetps_host_cpu_seconds" ["host", "mode"];
    /// Hardware threads.
    HOST_CPUS: Gauge "fleetps_host_cpus" ["host"];
    /// Load average over 1, 5 and 15 minutes.
    HOST_LOAD: Gauge "fleetps_host_load" ["host", "minutes"];
    /// Installed memory.
    HOST_MEMORY_TOTAL: Gauge "fleetps_host_memory_total_bytes" ["host"];
    /// Memory in use: installed less available.
    HOST_MEMORY_USED: Gauge "fleetps_host_memory_used_bytes" ["host"];
    /// Memory that new processes can have without swapping.
    HOST_MEMORY_AVAILABLE: Gauge "fleetps_host_memory_available_bytes" ["host"];
    /// Swap space.
    HOST_SWAP_TOTAL: Gauge "fleetps_host_swap_total_bytes" ["host"];
    /// Swap space in use.
    HOST_SWAP_USED: Gauge "fleetps_host_swap_used_bytes" ["host"];
    /// Bytes read from disks since boot.
    HOST_DISK_READ: Counter "fleetps_host_disk_read_bytes" ["host"];
    /// Bytes written to disks since boot.
    HOST_DISK_WRITTEN: Counter "fleetps_host_disk_written_bytes" ["host"];
    /// Bytes received by the machine's own interfaces since boot, each once.
    HOST_NETWORK_RECEIVED: Counter "fleetps_host_network_received_bytes" ["host"];
    /// Bytes sent by them since boot.
    HOST_NETWORK_SENT: Counter "fleetps_host_network_sent_bytes" ["host"];
    /// Processes on the machine, including those that its agent leaves out.
    HOST_PROCESSES: Gauge "fleetps_host_processes" ["host"];
    /// Processes that its agent leaves out of snapshots.
    HOST_PROCESSES_LEFT_OUT: Gauge "fleetps_host_processes_left_out" ["host"];
    /// Threads on the machine.
    HOST_THREADS: Gauge "fleetps_host_threads" ["host"];
    /// Time since boot.
    HOST_UPTIME: Gauge "fleetps_host_uptime_seconds" ["host"];
    /// By how much its clock is ahead of the broker's; negative behind.
    HOST_CLOCK_OFFSET: Gauge "fleetps_host_clock_offset_seconds" ["host"];
    /// CPU time of its agent.
    HOST_AGENT_CPU: Counter "fleetps_host_agent_cpu_seconds" ["host"];
    /// Resident set of its agent.
    HOST_AGENT_RESIDENT: Gauge "fleetps_host_agent_resident_bytes" ["host"];
    /// Snapshots that its agent dropped because the broker was away for too long.
    HOST_AGENT_DROPPED: Counter "fleetps_host_agent_snapshots_dropped" ["host"];
    /// Size of a file system.
    HOST_FILESYSTEM_SIZE: Gauge "fleetps_host_filesystem_size_bytes" ["host", "mount"];
    /// Bytes in use, those reserved for root left aside.
    HOST_FILESYSTEM_USED: Gauge "fleetps_host_filesystem_used_bytes" ["host", "mount"];
    /// Bytes that programs without privileges can still write.
    HOST_FILESYSTEM_AVAILABLE: Gauge "fleetps_host_filesystem_available_bytes" ["host", "mount"];
    /// CPU time of a program's processes and their ended children since its host's metrics began to be read.
    PROGRAM_CPU: Counter "fleetps_program_cpu_seconds" ["host", "program"];
    /// Memory of a program's processes. What they share is counted once.
    PROGRAM_MEMORY: Gauge "fleetps_program_memory_bytes" ["host", "program"];
    /// A program's processes.
    PROGRAM_PROCESSES: Gauge "fleetps_program_processes" ["host", "program"];
    /// Series that are missing in this answer because it would have too many.
    SERIES_DROPPED: Gauge "fleetps_series_dropped" [];

    /// CPU time of this process, in user and kernel mode.
    PROCESS_CPU: Counter "process_cpu_seconds" [];
    /// Resident set of this process.
    PROCESS_RESIDENT: Gauge "process_resident_memory_bytes" [];
    /// Open file descriptors of this process.
    PROCESS_OPEN_FDS: Gauge "process_open_fds" [];
    /// Open file descriptors that this process may have.
    PROCESS_MAX_FDS: Gauge "process_max_fds" [];
    /// When this process started, in seconds since 1970.
    PROCESS_START: Gauge "process_start_time_seconds" [];
}
