//! Lists of bounded length in messages.

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};

/// Most processes in a snapshot.
pub const MAX_PROCESSES: usize = 20_000;
/// Starts the error text of a list that is too long, so that it can be told from other shape errors.
pub(super) const TOO_MANY: &str = "too many: over ";

/// A list of at most `MAX` entries. Without the bound, 16 MiB of empty strings would take 400 MB of memory.
pub(super) fn bounded_list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Bounded<T, const MAX: usize>(std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Bounded<T, MAX> {
        type Value = Vec<T>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(formatter, "a list of at most {MAX} entries")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let claimed = entries.size_hint().unwrap_or_default();
            if claimed > MAX {
                return Err(A::Error::custom(format_args!("{TOO_MANY}{MAX} entries in a list")));
            }
            let mut list = Vec::with_capacity(claimed);
            while let Some(entry) = entries.next_element()? {
                list.push(entry);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_seq(Bounded::<T, MAX>(std::marker::PhantomData))
}
