//! A limit to how fast a place is read, for storage that others use too.

use crate::ReadAt;
use std::io;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// So many bytes in a second, for all threads together.
#[derive(Debug)]
pub struct Throttle {
    bytes_per_second: NonZeroU64,
    /// When what was read so far may have been read.
    paid_until: Mutex<Instant>,
}

impl Throttle {
    /// With this rate.
    #[must_use]
    pub fn new(bytes_per_second: NonZeroU64) -> Self {
        Self {
            bytes_per_second,
            paid_until: Mutex::new(Instant::now()),
        }
    }

    /// Takes so many bytes that were read, and waits until the rate allows them. A pause is not saved up.
    pub fn pay(&self, bytes: usize) {
        // Thousands of years at least: no overflow below.
        let nanoseconds =
            (bytes as u128).saturating_mul(1_000_000_000) / u128::from(self.bytes_per_second.get());
        let cost = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX >> 4));
        let until = {
            let mut paid = self
                .paid_until
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *paid = (*paid).max(Instant::now()) + cost;
            *paid
        };
        sleep(until.saturating_duration_since(Instant::now()));
    }
}

/// A source that is read no faster than a throttle allows.
pub(crate) struct Throttled<T> {
    pub(crate) source: T,
    pub(crate) throttle: Arc<Throttle>,
}

impl<T: ReadAt> ReadAt for Throttled<T> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let n = self.source.read_at(buf, offset)?;
        self.throttle.pay(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_together_keep_the_rate() {
        let throttle = Arc::new(Throttle::new(NonZeroU64::new(1_000_000).unwrap()));
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let source = Throttled {
                    source: vec![0; 10_000],
                    throttle: throttle.clone(),
                };
                scope.spawn(move || {
                    let mut buf = vec![0; 10_000];
                    for _ in 0..5 {
                        assert_eq!(source.read_at(&mut buf, 0).unwrap(), 10_000);
                    }
                });
            }
        });
        // 200,000 bytes are 0.2 seconds; sleep never ends early.
        assert!(begun.elapsed() >= Duration::from_millis(200));
    }
}
