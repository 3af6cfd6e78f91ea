//! Decodes a message of the stream into the snapshot of a host: the one way for all readers of the stream.
//!
//! The host is the subject's. A message beyond the host's `rate_limit` is refused unread, so a flood from one host
//! delays no other, neither in the history nor on the pages.

mod boot_times;
mod rate_limit;

use std::{io, time::Instant};

use crate::{
    HostName, Snapshot, Standing,
    reader::Delivered,
    snapshot::{BadSnapshot, Decoder, MAX_HEADER_BYTES, Sent},
    subject::host_of_snapshot,
};
use boot_times::BootTimes;
use rate_limit::RateLimits;

pub use rate_limit::{Allowance, Inside, RING_WORTH_BYTES, RateLimit, worth_bytes};

/// The longest part of a bad subject that is reported.
const MAX_SUBJECT_CHARACTERS: usize = 100;

/// The broker's clock was set back where a message is older than one before by this much, in µs: time daemons correct less
/// without being noticed.
const BROKER_STEP_US: i64 = 1_000_000;

/// Unpacks messages, as far as their hosts may send them.
pub struct MessageDecoder {
    decoder: Decoder,
    allowances: RateLimits,
    furthest: Furthest,
    boots: BootTimes,
    standing: Option<Standing>,
}

/// The broker's clock where it was furthest, going on from there. Hosts' clocks are judged by it: a broker whose clock is
/// set back must not refuse the snapshots of hosts whose clocks are right as being of the future.
struct Furthest {
    at_us: i64,
    since: Instant,
}

impl Furthest {
    /// The furthest at `now`, when the broker's clock says `stored_at_us`.
    fn reached(&mut self, stored_at_us: i64, now: Instant) -> i64 {
        let passed = now.saturating_duration_since(self.since);
        let passed_us = i64::try_from(passed.as_micros()).unwrap_or(i64::MAX);
        let gone_on_us = self.at_us.saturating_add(passed_us);
        if stored_at_us < gone_on_us {
            return gone_on_us;
        }
        *self = Self { at_us: stored_at_us, since: now };
        stored_at_us
    }
}

impl MessageDecoder {
    /// A decoder that lets every host send `host_bytes_per_s` over a longer time, and 64 times as much at once.
    ///
    /// # Errors
    /// When there is no memory for a decompressor.
    pub fn new(host_bytes_per_s: u64) -> io::Result<Self> {
        Ok(Self {
            decoder: Decoder::new()?,
            allowances: RateLimits::new(host_bytes_per_s),
            furthest: Furthest { at_us: i64::MIN, since: Instant::now() },
            boots: BootTimes::default(),
            standing: None,
        })
    }

    /// The same, which leaves out what hosts sent after they were revoked or forgotten.
    #[must_use]
    pub fn with_standing(self, standing: Standing) -> Self {
        Self { standing: Some(standing), ..self }
    }

    /// The snapshot, and whose it is.
    ///
    /// # Errors
    /// When it is none, or its host has sent too much.
    pub fn decode(&mut self, delivered: &Delivered) -> Result<(HostName, Snapshot), BadSnapshot> {
        let Delivered { subject, payload, header_bytes, stored_at_us, age_us, .. } = delivered;
        let Some(host) = host_of_snapshot(subject) else {
            return Err(BadSnapshot::BadSubject(subject.chars().take(MAX_SUBJECT_CHARACTERS).collect()));
        };
        if self.standing.as_ref().is_some_and(|standing| !standing.counts(&host, *stored_at_us)) {
            return Err(BadSnapshot::Revoked);
        }
        if *header_bytes > MAX_HEADER_BYTES {
            return Err(BadSnapshot::LongHeaders(*header_bytes));
        }
        if !self.allowances.take(&host, payload.len(), *stored_at_us) {
            return Err(BadSnapshot::Flood);
        }
        let judged_at_us = self.furthest.reached(*stored_at_us, Instant::now());
        let sent = Sent { stored_at_us: *stored_at_us, age_us: self.believed(*stored_at_us, *age_us) };
        let mut unpacked = self.decoder.decode_sent(payload, sent, judged_at_us);
        if let Ok(snapshot) = &mut unpacked {
            self.boots.settle(&host, snapshot);
        }
        let inside = unpacked.as_ref().ok().map(|snapshot| Inside {
            processes: snapshot.processes.len(),
            bytes: self.decoder.unpacked_bytes(),
        });
        self.allowances.charge(&host, payload.len(), inside, *stored_at_us);
        Ok((host, unpacked?))
    }

    /// The age of a snapshot that the broker took at `stored_at_us`, unless the broker's own clock was set back since an earlier
    /// message: no host is measured by a clock that is wrong.
    fn believed(&self, stored_at_us: i64, age_us: Option<i64>) -> Option<i64> {
        age_us.filter(|_| stored_at_us >= self.furthest.at_us.saturating_sub(BROKER_STEP_US))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        snapshot::{Encoder, HostInfo, Process},
        subject,
    };

    const DAY_US: i64 = 86_400_000_000;
    const NOW_US: i64 = 1_764_000_000_000_000;

    /// The snapshot of a host whose clock is right, which the broker took at `stored_at_us`.
    fn delivered(host: &str, captured_at_us: i64, stored_at_us: i64) -> Delivered {
        let snapshot = Snapshot {
            format: crate::snapshot::FORMAT,
            boot_id: "boot".to_owned(),
            run_id: "run".to_owned(),
            interval_ms: 1000,
            sequence: 1,
            captured_at_us,
            ..Snapshot::default()
        };
        let payload = Encoder::new().unwrap().encode(&snapshot).unwrap().into();
        let subject = subject::snapshot(&host.parse().unwrap());
        Delivered { sequence: 1, subject, payload, header_bytes: 0, stored_at_us, age_us: None, pending: 0 }
    }

    #[test]
    fn a_broker_whose_clock_is_set_back_by_days_refuses_no_host_whose_clock_is_right() {
        let mut message_decoder = MessageDecoder::new(1 << 20).unwrap();
        for back_us in [0, DAY_US / 2, 3 * DAY_US, 400 * DAY_US, 0] {
            for host in ["a", "b"] {
                let unpacked = message_decoder.decode(&delivered(host, NOW_US, NOW_US - back_us));
                assert!(unpacked.is_ok(), "{back_us} µs back: {unpacked:?}");
            }
        }
        let ahead = message_decoder.decode(&delivered("a", NOW_US + 2 * DAY_US, NOW_US - DAY_US));
        assert!(matches!(ahead, Err(BadSnapshot::BadTime { .. })), "{ahead:?}");
    }

    #[test]
    fn a_host_whose_clock_is_days_off_is_heard_by_the_age_of_what_it_sends() {
        let mut message_decoder = MessageDecoder::new(1 << 20).unwrap();
        let mut captured_us = |wrong_us: i64, waited_us: i64, stored_at_us: i64| {
            let said_us = stored_at_us - waited_us + wrong_us;
            let delivered = Delivered { age_us: Some(waited_us), ..delivered("a", said_us, stored_at_us) };
            message_decoder.decode(&delivered).unwrap().1.captured_at_us
        };
        for wrong_us in [-300 * DAY_US, -DAY_US, DAY_US, 40 * DAY_US] {
            assert_eq!(captured_us(wrong_us, 0, NOW_US), NOW_US, "{wrong_us}");
            assert_eq!(captured_us(wrong_us, DAY_US / 2, NOW_US), NOW_US - DAY_US / 2, "{wrong_us}");
        }
        assert_eq!(captured_us(3_000_000, 0, NOW_US), NOW_US + 3_000_000, "a little");
        // The broker's clock is set back: it is that one which is wrong.
        assert_eq!(captured_us(DAY_US, 0, NOW_US - DAY_US), NOW_US);
    }

    #[test]
    fn starts_stay_where_they_are_when_an_agent_works_its_boot_out_anew() {
        let mut message_decoder = MessageDecoder::new(1 << 20).unwrap();
        let mut started_us = |boot_id: &str, boot_at_us: i64| {
            let process = Process {
                pid: 1,
                start_ticks: Some(5),
                started_at_us: boot_at_us + 50_000,
                ..Process::default()
            };
            let snapshot = Snapshot {
                format: crate::snapshot::FORMAT,
                boot_id: boot_id.to_owned(),
                run_id: "run".to_owned(),
                interval_ms: 1000,
                sequence: 1,
                captured_at_us: NOW_US,
                host_info: HostInfo { boot_at_us: Some(boot_at_us), ..HostInfo::default() },
                processes: vec![Process { name: "init".to_owned(), state: 'S', ..process }],
                ..Snapshot::default()
            };
            let payload = Encoder::new().unwrap().encode(&snapshot).unwrap().into();
            let delivered = Delivered { payload, ..delivered("a", NOW_US, NOW_US) };
            message_decoder.decode(&delivered).unwrap().1.processes[0].started_at_us
        };
        let boot_us = NOW_US - DAY_US;
        assert_eq!(started_us("boot", boot_us), boot_us + 50_000);
        assert_eq!(started_us("boot", boot_us + 7_123), boot_us + 50_000);
        assert_eq!(started_us("boot", boot_us + 1_900_000), boot_us + 50_000);
        assert_eq!(started_us("boot", boot_us + 9_000_000), boot_us + 9_050_000, "the clock was set");
        assert_eq!(started_us("other", boot_us + 9_000_123), boot_us + 9_050_123, "another boot");
    }

    #[test]
    fn the_furthest_goes_on_while_the_clock_is_behind() {
        let start = Instant::now();
        let mut furthest = Furthest { at_us: i64::MIN, since: start };
        let after = |seconds| start + std::time::Duration::from_secs(seconds);
        assert_eq!(furthest.reached(DAY_US, start), DAY_US);
        assert_eq!(furthest.reached(0, after(5)), DAY_US + 5_000_000);
        assert_eq!(furthest.reached(DAY_US + 6_000_000, after(6)), DAY_US + 6_000_000);
        assert_eq!(furthest.reached(3 * DAY_US, after(7)), 3 * DAY_US);
    }
}
