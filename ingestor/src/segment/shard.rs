//! A shard: the hosts of which a divided segment holds everything, by a hash of their names.

use std::fmt;

/// Some of the hosts, by a hash of their names: number `number` of `count` shards. The counts are powers of two, so a shard
/// of a larger count lies inside one of each smaller count. [`Shard::WHOLE`] has every host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard {
    count: u8,
    /// From 0.
    number: u8,
}

impl Shard {
    /// Every host.
    pub const WHOLE: Self = Self { count: 1, number: 0 };
    /// The most shards: as many as an integer has bits.
    pub const MAX_COUNT: u8 = 64;

    /// Shard `number`, from 0, of `count`; `None` where that is none.
    pub fn new(number: u8, count: u8) -> Option<Self> {
        let is_count = count.is_power_of_two() && count <= Self::MAX_COUNT;
        (is_count && number < count).then_some(Self { count, number })
    }

    /// All `count` of them; none where that is no count.
    pub fn all(count: u8) -> impl Iterator<Item = Self> {
        (0..count).filter_map(move |number| Self::new(number, count))
    }

    /// How many shards there are.
    pub fn count(self) -> u8 {
        self.count
    }

    /// Whether it has every host.
    pub fn is_whole(self) -> bool {
        self.count == 1
    }

    /// Whether it has `host`.
    pub fn has(self, host: &str) -> bool {
        hash(host) % u64::from(self.count) == u64::from(self.number)
    }

    /// The shards of the greatest count inside this one, a bit for each.
    pub(crate) fn bits(self) -> u64 {
        let inside = (self.number..Self::MAX_COUNT).step_by(usize::from(self.count));
        inside.fold(0, |bits, number| bits | 1 << number)
    }

    /// Whether the shard `place`, from 0, of the greatest count is inside this one.
    pub(super) fn has_bit(self, place: u8) -> bool {
        place % self.count == self.number
    }

    /// Reads what names say, as in `03of08`, which is the third; `None` where it is no shard, or every host.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, count) = text.split_once("of")?;
        let shard = Self::new(number.parse::<u8>().ok()?.checked_sub(1)?, count.parse().ok()?)?;
        (!shard.is_whole() && shard.to_string() == text).then_some(shard)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:02}of{:02}", self.number + 1, self.count)
    }
}

/// FNV-1a in 64 bits, its halves folded because the last bits decide. Part of the file format: it must never change.
fn hash(host: &str) -> u64 {
    let hash = host.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_in_the_same_shard_for_ever() {
        let shard_of = |host: &str| Shard::all(64).position(|shard| shard.has(host)).unwrap();
        let shards = ["web-01", "web-02", "db", ""].map(shard_of);
        assert_eq!(shards, [62, 3, 36, 1]);
    }

    #[test]
    fn each_host_is_in_one_shard_of_every_count_and_about_as_many_are_in_each() {
        let hosts: Vec<String> = (0..6400).map(|number| format!("sim-{number:04}.example")).collect();
        for count in [1, 2, 8, 64] {
            let sizes: Vec<usize> =
                Shard::all(count).map(|shard| hosts.iter().filter(|host| shard.has(host)).count()).collect();
            let equal = hosts.len() / usize::from(count);
            assert_eq!(sizes.iter().sum::<usize>(), hosts.len());
            assert!(sizes.iter().all(|size| size.abs_diff(equal) < equal / 2), "{sizes:?}");
        }
    }

    #[test]
    fn shards_of_a_larger_count_lie_inside_those_of_a_smaller_one() {
        assert_eq!(Shard::WHOLE.bits(), u64::MAX);
        let third = Shard::new(2, 4).unwrap();
        let inside = [2, 6].map(|number| Shard::new(number, 8).unwrap().bits());
        assert_eq!((inside[0] | inside[1], inside[0] & inside[1]), (third.bits(), 0));
        let all = Shard::all(32).fold(0, |bits, shard| bits ^ shard.bits());
        assert_eq!(all, u64::MAX);
    }

    #[test]
    fn only_what_is_a_shard_is_read() {
        assert_eq!(Shard::parse("03of08"), Shard::new(2, 8));
        assert_eq!(Shard::new(2, 8).unwrap().to_string(), "03of08");
        for text in
            ["", "of", "3of8", "003of008", "00of08", "09of08", "01of01", "01of03", "01of128", "+1of08"]
        {
            assert_eq!(Shard::parse(text), None, "{text:?}");
        }
        assert_eq!((Shard::new(0, 0), Shard::new(8, 8), Shard::all(3).count()), (None, None, 0));
    }
}
