//! Counters of devices that come and go, added up so that no sum ever falls.
//!
//! A sum of what is there now falls when a device is taken away, when its driver is loaded again, or when a 32-bit counter
//! wraps around. So what each device has grown by since the last pass is added.

use std::collections::HashMap;

/// Devices remembered, those that are gone included.
const MAX_DEVICES: usize = 2048;
/// SQL has no larger numbers.
const LARGEST: u64 = i64::MAX as u64;

/// The counters of all devices; `N` of each.
#[derive(Debug)]
pub(super) struct Growing<const N: usize> {
    devices: HashMap<String, Device<N>>,
    totals: [u64; N],
    passes: u64,
}

/// A device.
#[derive(Debug)]
struct Device<const N: usize> {
    raw: [u64; N],
    grown: [u64; N],
    is_counted: bool,
    seen_in_pass: u64,
}

impl<const N: usize> Growing<N> {
    /// No devices yet.
    pub(super) fn new() -> Self {
        Self { devices: HashMap::new(), totals: [0; N], passes: 0 }
    }

    /// Begins a pass.
    pub(super) fn begin(&mut self) {
        self.passes += 1;
    }

    /// Takes a device's counters of this pass. A device that was not there before is counted from zero; `is_counted` says
    /// whether its growth is part of the totals. Returns what it has grown by since it was first seen, and had then.
    pub(super) fn add(&mut self, name: &str, raw: [u64; N], is_counted: bool) -> [u64; N] {
        let seen_in_pass = self.passes;
        let raw = raw.map(|value| value.min(LARGEST));
        let fresh = || Device { raw: [0; N], grown: [0; N], is_counted, seen_in_pass };
        let device = self.devices.entry(name.to_owned()).or_insert_with(fresh);
        for (place, (now, before)) in raw.into_iter().zip(device.raw).enumerate() {
            // Smaller than before: it began again at zero.
            let growth = now.checked_sub(before).unwrap_or(now);
            device.grown[place] = device.grown[place].saturating_add(growth).min(LARGEST);
            if is_counted {
                self.totals[place] = self.totals[place].saturating_add(growth).min(LARGEST);
            }
        }
        (device.raw, device.is_counted, device.seen_in_pass) = (raw, is_counted, seen_in_pass);
        device.grown
    }

    /// Gives a device another name. Nothing, where the new name is known.
    #[cfg(any(target_os = "linux", test))]
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if !self.devices.contains_key(to)
            && let Some(device) = self.devices.remove(from)
        {
            self.devices.insert(to.to_owned(), device);
        }
    }

    /// Ends a pass. Devices that are gone stay known, because they may come back with the counters that they had, unless
    /// there are too many.
    pub(super) fn end(&mut self) {
        if self.devices.len() > MAX_DEVICES {
            let passes = self.passes;
            self.devices.retain(|_, device| device.seen_in_pass == passes);
        }
    }

    /// The totals.
    pub(super) fn totals(&self) -> [u64; N] {
        self.totals
    }

    /// Adds to the totals what an earlier run of the agent had [beyond](Self::beyond_present) the counters that are there.
    #[cfg(any(target_os = "linux", test))]
    pub(super) fn add_earlier(&mut self, beyond: [i64; N]) {
        for (total, beyond) in self.totals.iter_mut().zip(beyond) {
            *total = total.saturating_add_signed(beyond).min(LARGEST);
        }
    }

    /// By how much the totals are more than the counters of the devices in the last pass say: what devices counted that
    /// are gone or began again.
    #[cfg(any(target_os = "linux", test))]
    pub(super) fn beyond_present(&self) -> [i64; N] {
        let mut beyond = self.totals.map(|total| i64::try_from(total).unwrap_or(i64::MAX));
        let is_present = |device: &&Device<N>| device.is_counted && device.seen_in_pass == self.passes;
        for device in self.devices.values().filter(is_present) {
            for (beyond, raw) in beyond.iter_mut().zip(device.raw) {
                *beyond = beyond.saturating_sub(i64::try_from(raw).unwrap_or(i64::MAX));
            }
        }
        beyond
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pass(growing: &mut Growing<1>, devices: &[(&str, u64)]) -> u64 {
        growing.begin();
        for (name, raw) in devices {
            growing.add(name, [*raw], !name.starts_with("veth"));
        }
        growing.end();
        growing.totals()[0]
    }

    #[test]
    fn a_total_goes_on_over_devices_that_vanish_come_back_and_begin_again() {
        let mut growing = Growing::new();
        assert_eq!(pass(&mut growing, &[("eth0", 100), ("eth1", 50), ("veth1", 999)]), 150);
        assert_eq!(pass(&mut growing, &[("eth0", 110)]), 160, "eth1 keeps what it had counted");
        assert_eq!(pass(&mut growing, &[("eth0", 110), ("eth1", 55)]), 165, "it comes back and goes on");
        assert_eq!(pass(&mut growing, &[("eth0", 7), ("eth1", 55)]), 172, "eth0 began again");
        assert_eq!(pass(&mut growing, &[("eth0", 7), ("eth1", 55), ("usb0", 3)]), 175, "a new one");
        assert_eq!(growing.beyond_present(), [175 - 7 - 55 - 3]);
    }

    #[test]
    fn a_run_that_follows_goes_on_with_what_is_gone() {
        let mut first = Growing::new();
        pass(&mut first, &[("eth0", 100), ("eth1", 50)]);
        pass(&mut first, &[("eth0", 120)]);
        let mut second = Growing::new();
        second.begin();
        second.add("eth0", [130], true);
        second.add_earlier(first.beyond_present());
        assert_eq!((first.totals(), second.totals()), ([170], [180]));
    }

    #[test]
    fn a_device_that_gets_another_name_is_not_counted_again() {
        let mut growing = Growing::new();
        pass(&mut growing, &[("eth0", 100)]);
        growing.rename("eth0", "ens3");
        assert_eq!(pass(&mut growing, &[("ens3", 101)]), 101);
    }

    proptest! {
        #[test]
        fn no_total_ever_falls(passes: Vec<Vec<(u8, u64, bool)>>) {
            let mut growing = Growing::<1>::new();
            let mut before = 0;
            for devices in passes {
                growing.begin();
                for (name, raw, is_counted) in devices {
                    growing.add(&format!("d{}", name % 4), [raw], is_counted);
                }
                growing.end();
                prop_assert!(growing.totals()[0] >= before && growing.totals()[0] <= LARGEST);
                before = growing.totals()[0];
            }
        }
    }
}
