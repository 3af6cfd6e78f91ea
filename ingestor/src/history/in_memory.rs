//! What was read of segments once and is likely to be asked for again, as much of it as fits. Segments never change, so
//! it stays true.

use std::{hash::Hash, sync::Arc};

use hashlink::LruCache;
use parking_lot::Mutex;

/// What it takes in memory.
pub(super) trait Bytes {
    /// About so many bytes, with everything that belongs to it.
    fn bytes(&self) -> usize;
}

/// Values by key; what was not used for longest is forgotten.
pub(super) struct InMemory<K, V>(Mutex<Kept<K, V>>);

struct Kept<K, V> {
    values: LruCache<K, Arc<V>>,
    bytes: usize,
    max_bytes: usize,
}

impl<K: Eq + Hash, V: Bytes> InMemory<K, V> {
    /// Takes at most so much memory, and that of a value that is larger by itself while it is used.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self(Mutex::new(Kept { values: LruCache::new_unbounded(), bytes: 0, max_bytes }))
    }

    /// What is kept under `key`.
    pub(super) fn get(&self, key: &K) -> Option<Arc<V>> {
        self.0.lock().values.get(key).map(Arc::clone)
    }

    /// Keeps `value` in the place of what was there.
    pub(super) fn keep(&self, key: K, value: V) -> Arc<V> {
        let value = Arc::new(value);
        self.0.lock().keep(key, Arc::clone(&value));
        value
    }
}

impl<K: Eq + Hash, V: Bytes> Kept<K, V> {
    fn keep(&mut self, key: K, value: Arc<V>) {
        self.bytes += value.bytes();
        let before = self.values.insert(key, value);
        self.bytes -= before.map_or(0, |before| before.bytes());
        while self.bytes > self.max_bytes
            && let Some((_, oldest)) = self.values.remove_lru()
        {
            self.bytes -= oldest.bytes();
        }
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

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let kept = InMemory::new(10);
        kept.keep("a", 4_usize);
        kept.keep("b", 4);
        kept.get(&"a");
        kept.keep("c", 4);
        assert_eq!(["a", "b", "c"].map(|key| kept.get(&key).is_some()), [true, false, true]);
        // In the place of a smaller one.
        kept.keep("c", 6);
        assert_eq!(["a", "c"].map(|key| kept.get(&key).is_some()), [true, true]);
        kept.keep("c", 7);
        assert_eq!(["a", "c"].map(|key| kept.get(&key).is_some()), [false, true]);
        kept.keep("d", 11);
        assert_eq!(["c", "d"].map(|key| kept.get(&key).is_some()), [false, false]);
    }
}
