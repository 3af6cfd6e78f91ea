//! What happens to simulated hosts in their past, so that there is something to find in it.

use std::time::Duration;

use super::past::SimulatedPast;

/// Something that happens once to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Incident {
    /// When, in µs since 1970 UTC.
    pub(super) at_us: i64,
    pub(super) kind: Kind,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The host is booted anew.
    Boot,
    /// A new release of what it serves comes, and is started.
    Deploy,
    /// What can break does: it begins to crash and to be started again.
    Break,
}

/// Which of the Linux hosts is booted: the first ones have other troubles.
const BOOTED: usize = 4;
/// Long enough ago for both to be in a past of some hours, and short enough for a chart of three.
const BOOT_AGO: Duration = Duration::from_secs(130 * 60);
const DEPLOY_AGO: Duration = Duration::from_secs(85 * 60);
/// Within the last part of a past, which is sampled often enough for a restart loop to be seen.
const BREAK_AGO: Duration = Duration::from_secs(18 * 60);
/// A release comes to one host after the other.
const DEPLOY_STEP: Duration = Duration::from_secs(20);
/// All hosts have it after this, however many they are.
const DEPLOY_WITHIN: Duration = Duration::from_secs(20 * 60);

/// What happens to the Linux host of this number in the past of its fleet, in the order of the times; nothing to others.
pub(super) fn of(linux_host: Option<usize>, past: &SimulatedPast) -> Vec<Incident> {
    let Some(number) = linux_host else { return Vec::new() };
    let step = DEPLOY_STEP.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX)).min(DEPLOY_WITHIN);
    let deploy = Incident { at_us: past.before_end_us(DEPLOY_AGO - step), kind: Kind::Deploy };
    let boot = Incident { at_us: past.before_end_us(BOOT_AGO), kind: Kind::Boot };
    let breaks = Incident { at_us: past.before_end_us(BREAK_AGO), kind: Kind::Break };
    let all = [(number == BOOTED).then_some(boot), Some(deploy), Some(breaks)];
    all.into_iter().flatten().filter(|incident| incident.at_us > past.begins_at_us).collect()
}
