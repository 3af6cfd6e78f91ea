//! Readiness of the broker's own records.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::live::Check;

/// Whether the broker's records are whole and saved; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct StateHealth(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// The lost records.
    lost: Option<String>,
    /// Why the state was not saved when it was tried last.
    unsaved: Option<String>,
    /// The backups that fleetps takes by itself; absent where it takes none.
    backup: Option<Check>,
    /// When the last complete one was made, in µs since 1970 UTC.
    backup_made_at_us: Option<i64>,
}

impl StateHealth {
    /// Whether no record is lost.
    pub fn whole(&self) -> Check {
        self.0.lock().lost.clone().map_or(Ok(()), Err)
    }

    /// Why the state cannot be saved, where it cannot.
    pub fn unsaved(&self) -> Option<String> {
        self.0.lock().unsaved.clone()
    }

    /// Whether backups are taken as the settings say; `None` where they ask for none.
    pub fn backup(&self) -> Option<Check> {
        self.0.lock().backup.clone()
    }

    /// When the last complete backup was made, in µs since 1970 UTC.
    pub fn backup_made_at_us(&self) -> Option<i64> {
        self.0.lock().backup_made_at_us
    }

    /// Sets the state of backups, of which the last complete one was made at `made_at_us`.
    pub fn set_backup(&self, check: Check, made_at_us: Option<i64>) {
        let mut health = self.0.lock();
        (health.backup, health.backup_made_at_us) = (Some(check), made_at_us);
    }

    /// Sets the lost records; `None` when every record is there.
    pub fn set_lost(&self, lost: Option<String>) {
        self.0.lock().lost = lost;
    }

    /// The last look succeeded.
    pub(super) fn saved(&self) {
        self.0.lock().unsaved = None;
    }

    /// Saving failed.
    pub(super) fn failed(&self, problem: String) {
        self.0.lock().unsaved = Some(problem);
    }
}
