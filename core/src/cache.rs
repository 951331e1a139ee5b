//! A bounded memory of verified things, keyed by a keyed 128-bit hash that nobody outside can collide.

use lru::LruCache;
use siphasher::sip128::{Hasher128 as _, SipHasher24};
use std::hash::Hasher as _;
use std::num::NonZeroUsize;

/// The secret that keys are hashed with: random, one per root context.
#[derive(Clone, Copy)]
pub struct CacheSecret([u8; 16]);

impl CacheSecret {
    /// From 16 random bytes.
    #[must_use]
    pub const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }
}

/// What is remembered under the hash of a text; the least recently used goes first. Only what was verified goes in.
pub struct Cache<V> {
    secret: CacheSecret,
    entries: LruCache<u128, V>,
}

impl<V> Cache<V> {
    /// An empty cache of at most `capacity` entries.
    #[must_use]
    pub fn new(secret: CacheSecret, capacity: NonZeroUsize) -> Self {
        Self { secret, entries: LruCache::new(capacity) }
    }

    /// The key of a sequence of texts; their boundaries count.
    #[must_use]
    #[inline]
    pub fn key<T: AsRef<[u8]>>(&self, texts: &[T]) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.secret.0);
        for text in texts {
            hasher.write_usize(text.as_ref().len());
            hasher.write(text.as_ref());
        }
        hasher.finish128().as_u128()
    }

    /// What is remembered under a key.
    pub fn get(&mut self, key: u128) -> Option<&V> {
        self.entries.get(&key)
    }

    /// Remembers.
    pub fn put(&mut self, key: u128, value: V) {
        self.entries.put(key, value);
    }

    /// Forgets one.
    pub fn remove(&mut self, key: u128) {
        self.entries.pop(&key);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn cache(capacity: usize) -> Cache<u32> {
        Cache::new(CacheSecret::new([7; 16]), NonZeroUsize::new(capacity).unwrap())
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn it_is_bounded_and_forgets_the_least_recently_used() {
        let mut cache = cache(2);
        for key in 0..3_u32 {
            cache.put(key.into(), key);
            cache.get(0);
        }
        assert_eq!(cache.len(), 2);
        assert_eq!((cache.get(0).copied(), cache.get(1).copied(), cache.get(2).copied()), (Some(0), None, Some(2)));
        cache.remove(0);
        cache.clear();
        assert!(cache.is_empty());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn boundaries_and_the_secret_count() {
        let ours = cache(1);
        let other = Cache::<u32>::new(CacheSecret::new([8; 16]), NonZeroUsize::MIN);
        assert_ne!(ours.key(&["ab", "c"]), ours.key(&["a", "bc"]));
        assert_ne!(ours.key(&["ab"]), ours.key(&["ab", ""]));
        assert_ne!(ours.key(&["ab"]), other.key(&["ab"]));
        assert_eq!(ours.key(&["ab"]), cache(1).key(&["ab"]));
    }
}
