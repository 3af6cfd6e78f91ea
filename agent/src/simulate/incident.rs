//! What happens to simulated hosts in their past, so that there is something to find in it.

use std::time::Duration;

use fleetps_nats::HostName;

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

/// Something that can be found in the past of a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// What it is.
    pub kind: StoryKind,
    /// On which host.
    pub host: HostName,
    /// When it was, or began, in µs since 1970 UTC.
    pub at_us: i64,
}

/// What can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoryKind {
    /// A process whose memory only grows.
    Leak,
    /// A service that crashes and is started again, over and over.
    Loop,
    /// A job that takes all cores from time to time.
    Job,
    /// A host that was booted.
    Boot,
    /// New releases of websites.
    Deployment,
}

/// What can be found in the past of a fleet with these Linux hosts, in the order of their numbers.
pub(super) fn stories(linux_hosts: &[&HostName], past: &SimulatedPast) -> Vec<Story> {
    let began = past.begins_at_us;
    let at = |ago| past.before_end_us(ago);
    let all = [
        (StoryKind::Leak, 0, began),
        (StoryKind::Loop, 1, at(BREAK_AGO)),
        (StoryKind::Job, 2, began),
        (StoryKind::Boot, BOOTED, at(BOOT_AGO)),
        // The first host has a website.
        (StoryKind::Deployment, 0, at(DEPLOY_AGO)),
    ];
    let story = |(kind, number, at_us): (StoryKind, usize, i64)| {
        let host = (*linux_hosts.get(number)?).clone();
        (at_us >= began).then_some(Story { kind, host, at_us })
    };
    all.into_iter().filter_map(story).collect()
}

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
