//! A cache of values read from segments, bounded in bytes. Segments never change, so entries stay true.

use std::{hash::Hash, sync::Arc};

use parking_lot::Mutex;
use quick_cache::{Weighter, unsync::Cache};

/// The size of a value in memory.
pub(super) trait Bytes {
    /// About how many bytes the value takes, with everything it owns.
    fn bytes(&self) -> usize;
}

/// A cache that is bounded by the bytes of its values. A single value larger than the bound is returned but not kept.
pub(super) struct SizedCache<K, V>(Mutex<Cache<K, Measured<V>, ByBytes>>);

/// A value and its size, which is measured once: the cache asks for it again at every eviction.
struct Measured<V> {
    value: Arc<V>,
    bytes: u64,
}

#[derive(Clone)]
struct ByBytes;

impl<K: Eq + Hash, V: Bytes> SizedCache<K, V> {
    /// A cache of at most `max_bytes`, for about `usual_count` values.
    pub(super) fn new(max_bytes: usize, usual_count: usize) -> Self {
        Self(Mutex::new(Cache::with_weighter(usual_count, max_bytes as u64, ByBytes)))
    }

    /// The bytes in use, and the bound.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let cache = self.0.lock();
        (cache.weight(), cache.capacity())
    }

    /// The value under `key`, if it is kept.
    pub(super) fn get(&self, key: &K) -> Option<Arc<V>> {
        self.0.lock().get(key).map(|measured| Arc::clone(&measured.value))
    }

    /// Keeps `value` under `key`, in place of the value that was there.
    pub(super) fn insert(&self, key: K, value: V) -> Arc<V> {
        let (bytes, value) = (value.bytes() as u64, Arc::new(value));
        self.0.lock().insert(key, Measured { value: Arc::clone(&value), bytes });
        value
    }
}

impl<K, V> Weighter<K, Measured<V>> for ByBytes {
    fn weight(&self, _: &K, value: &Measured<V>) -> u64 {
        value.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Bytes for usize {
        fn bytes(&self) -> usize {
            *self
        }
    }

    fn kept<const N: usize>(cache: &SizedCache<usize, usize>, keys: [usize; N]) -> [bool; N] {
        keys.map(|key| cache.0.lock().peek(&key).is_some())
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_makes_room() {
        let cache = SizedCache::new(100, 4);
        cache.insert(1, 40);
        cache.insert(2, 40);
        assert!(cache.get(&1).is_some());
        cache.insert(3, 40);
        assert_eq!(kept(&cache, [1, 2, 3]), [true, false, true]);
    }

    #[test]
    fn a_value_takes_the_place_of_the_one_before() {
        let cache = SizedCache::new(100, 4);
        cache.insert(1, 40);
        cache.insert(1, 60);
        assert_eq!(cache.get(&1).as_deref(), Some(&60));
        assert_eq!(cache.0.lock().weight(), 60);
    }

    #[test]
    fn it_never_takes_more_than_its_bytes() {
        let cache = SizedCache::new(1000, 10);
        for round in 0..1000 {
            let key = round * 7 % 31;
            cache.insert(key, 1 + round * 13 % 400);
            let _ = cache.get(&(round * 5 % 31));
            assert!((1..=1000).contains(&cache.0.lock().weight()));
        }
    }

    #[test]
    fn a_larger_value_is_returned_and_not_kept() {
        let cache = SizedCache::new(100, 4);
        cache.insert(1, 40);
        assert_eq!(*cache.insert(2, 101), 101);
        assert_eq!(kept(&cache, [1, 2]), [true, false]);
    }
}
