//! Actions on units of systemd.

use std::time::{Duration, SystemTime};

use fleetps_nats::command::{Reason, Sight, Stage, UnitAction, UnitName};

use super::{
    bus::Manager,
    clock,
    jobs::Jobs,
    journal::Journal,
    procfs::Stat,
    refusal::Refusal,
    report::Report,
    rules_file::Rules,
    verdict::{UnitState, verdict},
};
use crate::policy::{Policy, UnitSubject};

/// The program of the broker.
const BROKER: &str = "nats-server";

/// What is own, so that it is not touched: units and main processes, with what they do.
#[derive(Debug, Clone, Default)]
pub(super) struct Own {
    /// Units, as in "fleetps-agent.service".
    pub units: Vec<(String, &'static str)>,
    /// Processes.
    pub pids: Vec<(u32, &'static str)>,
}

impl Own {
    /// Why the unit is fleetps's own.
    fn unit(&self, unit: &UnitState) -> Option<&'static str> {
        let is_broker = |pid| Stat::of(pid).is_some_and(|stat| stat.name == BROKER);
        let named = self.units.iter().find(|(name, _)| unit.names.contains(name) || unit.id == *name);
        let of_unit = named.map(|(_, why)| *why);
        of_unit
            .or_else(|| self.process(unit.main_pid?))
            .or_else(|| unit.main_pid.filter(|pid| is_broker(*pid)).map(|_| "runs the broker"))
    }

    /// Why processes of this unit are fleetps's own.
    pub(super) fn of_unit(&self, unit: Option<&str>) -> Option<&'static str> {
        self.units.iter().find(|(name, _)| Some(name.as_str()) == unit).map(|(_, why)| *why)
    }

    /// Why the process is fleetps's own.
    pub(super) fn process(&self, pid: u32) -> Option<&'static str> {
        self.pids.iter().find(|(own, _)| *own == pid).map(|(_, why)| *why)
    }
}

/// How actions on units are executed.
#[derive(Debug, Clone)]
pub(super) struct Units {
    /// The bus; the system's where it is absent.
    pub address: Option<String>,
    /// How long a job may take.
    pub job_within: Duration,
    /// Where units write to.
    pub journal: Journal,
}

impl Units {
    /// Executes `action`, if the `rules` allow it and it is not later than `until`.
    pub(super) async fn execute(
        &self,
        (action, name): (UnitAction, &UnitName),
        rules: &Rules,
        own: &Own,
        until: Duration,
        mut report: Report,
    ) {
        let (manager, before, line) = match self.prepare(action, name, &rules.policy, own).await {
            Ok(prepared) => prepared,
            Err(refusal) => return report.ends_for(Stage::Refused, refusal),
        };
        report.goes_on(Stage::Accepted, line);
        let jobs = match Jobs::follow(&manager).await {
            Ok(jobs) => jobs,
            // Nothing was begun.
            Err(refusal) => return report.ends_for(Stage::Refused, refusal),
        };
        if clock::now() > until {
            let refusal = Refusal::new(Reason::Expired, "systemd did not answer in time");
            return report.ends_for(Stage::Expired, refusal);
        }
        let began = SystemTime::now();
        let mut ended = self.job(action, &manager, jobs, &before, &report).await;
        match self.journal.tail(&before.id, rules.output_lines, began).await {
            Ok(output) => report.output = output,
            Err(problem) => {
                let detail = ended.as_mut().unwrap_or_else(|refusal| &mut refusal.detail);
                detail.push_str(&format!("; what it wrote cannot be read: {problem}"));
            }
        }
        match ended {
            Ok(detail) => report.ends(Stage::Done, detail, None),
            // Refused by polkit: nothing has happened.
            Err(refusal) if refusal.reason == Reason::Denied => report.ends_for(Stage::Refused, refusal),
            Err(refusal) => report.ends_for(Stage::Failed, refusal),
        }
    }

    /// Whether it may be done, and the unit as it is before.
    async fn prepare(
        &self,
        action: UnitAction,
        name: &UnitName,
        policy: &Policy,
        own: &Own,
    ) -> Result<(Manager, UnitState, String), Refusal> {
        let manager = Manager::open(self.address.as_deref()).await?;
        let unit = manager.unit(name).await?;
        let line = Refusal::unless_allowed(policy.unit(&subject(action, &unit, own)))?;
        Ok((manager, unit, line))
    }

    async fn job(
        &self,
        action: UnitAction,
        manager: &Manager,
        mut jobs: Jobs,
        before: &UnitState,
        report: &Report,
    ) -> Result<String, Refusal> {
        let job = manager.begin(action, &before.id).await?;
        report.goes_on(Stage::Running, format!("before: {}", before.words()));
        let result = match &job {
            Some(job) => jobs.result(job, self.job_within).await,
            None => None,
        };
        let name: UnitName =
            before.id.parse().map_err(|_| Refusal::internal("the unit has another name now"))?;
        let after = match manager.unit(&name).await {
            Ok(after) => after,
            // The bus may have been started again meanwhile.
            Err(_) => {
                let unclear = |refusal: Refusal| Refusal::new(Reason::JobLate, refusal.detail);
                let manager = Manager::open(self.address.as_deref()).await.map_err(unclear)?;
                manager.unit(&name).await.map_err(unclear)?
            }
        };
        verdict(action, result.as_deref(), before, &after)
    }

    /// What a unit is, and how.
    pub(super) async fn look(&self, name: &UnitName) -> Result<Sight, Refusal> {
        let manager = Manager::open(self.address.as_deref()).await?;
        match manager.unit(name).await {
            Ok(unit) => Ok(unit.sight()),
            Err(refusal) if refusal.reason == Reason::NoSuchUnit => Ok(Sight::default()),
            Err(refusal) => Err(refusal),
        }
    }

    /// What the policy decides about, as systemd knows the unit.
    pub(super) async fn subject(
        &self,
        action: UnitAction,
        name: &UnitName,
        own: &Own,
    ) -> Result<UnitSubject, Refusal> {
        let manager = Manager::open(self.address.as_deref()).await?;
        Ok(subject(action, &manager.unit(name).await?, own))
    }
}

fn subject(action: UnitAction, unit: &UnitState, own: &Own) -> UnitSubject {
    UnitSubject { action, name: unit.id.clone(), names: unit.names.clone(), own: own.unit(unit) }
}
