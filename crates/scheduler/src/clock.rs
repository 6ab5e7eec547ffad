//! What time it is, for the daemon: a value, so that a simulation can say it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the daemon looks what time it is. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Absent: the system's clocks.
    hands: Option<Arc<Mutex<Hands>>>,
}

#[derive(Debug)]
struct Hands {
    instant: Instant,
    wall_us: i64,
}

impl Clock {
    /// The system's clocks.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at `wall_us` microseconds after the Unix epoch until it is moved.
    pub fn standing_at(wall_us: i64) -> Self {
        Self { hands: Some(Arc::new(Mutex::new(Hands { instant: Instant::now(), wall_us }))) }
    }

    /// Lets time pass. The system's clocks cannot be moved.
    pub fn advance(&self, by: Duration) {
        if let Some(mut hands) = self.hands() {
            hands.instant += by;
            hands.wall_us += i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        }
    }

    /// Sets the wall clock by so many microseconds, as someone may set a machine's. No time passes.
    pub fn set_wall(&self, by_us: i64) {
        if let Some(mut hands) = self.hands() {
            hands.wall_us += by_us;
        }
    }

    /// Monotonic time, by which leases are judged.
    pub fn now(&self) -> Instant {
        self.hands().map_or_else(Instant::now, |hands| hands.instant)
    }

    /// Wall time in microseconds since the Unix epoch: for display, never to decide about a lease.
    pub fn wall_us(&self) -> i64 {
        self.hands().map_or_else(system_wall_us, |hands| hands.wall_us)
    }

    /// By what a pause is multiplied, from 0.5 to 1.5, so that jobs that failed together do not come back together. Chance, as the
    /// time: a clock that stands says 1.
    pub fn jitter(&self) -> f64 {
        match &self.hands {
            Some(_) => 1.0,
            // The standard library's hash keys are random.
            None => 0.5 + RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64,
        }
    }

    fn hands(&self) -> Option<MutexGuard<'_, Hands>> {
        self.hands.as_ref().map(|hands| hands.lock().expect("nothing panics while it holds the hands"))
    }
}

fn system_wall_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_stands_until_it_is_moved_and_its_wall_can_be_set_alone() {
        let clock = Clock::standing_at(7);
        let begun = clock.now();
        assert_eq!((clock.now(), clock.wall_us()), (begun, 7));
        clock.clone().advance(Duration::from_secs(2));
        assert_eq!((clock.now() - begun, clock.wall_us()), (Duration::from_secs(2), 2_000_007));
        clock.set_wall(-3_000_000);
        assert_eq!((clock.now() - begun, clock.wall_us()), (Duration::from_secs(2), -999_993));
    }

    #[test]
    fn the_systems_clock_goes_by_itself() {
        let (clock, begun) = (Clock::system(), Instant::now());
        clock.advance(Duration::from_secs(1000));
        assert!(clock.now() >= begun && clock.now() - begun < Duration::from_secs(999));
        assert!(clock.wall_us() > 1_600_000_000_000_000);
    }
}
