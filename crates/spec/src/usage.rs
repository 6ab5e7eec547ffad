//! What an owner has used of the devices, the longer ago the less.
//!
//! Times are microseconds since the Unix epoch by the daemon's clock; usage is microseconds of one device, so that half a device
//! for two hours is what a device for one hour is.

/// After so long half of it is forgotten: a week in which a group waited should count, a month should not.
pub const USAGE_HALF_LIFE_US: i64 = 7 * 24 * 3600 * 1_000_000;

/// What an attempt that has just begun counts as: without it all devices that are free at one moment would go to one owner.
const LEAST_RUNNING_US: i64 = 60_000_000;

/// Decayed usage as of a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// In microseconds of one device.
    pub device_us: f64,
    /// When it was that much.
    pub at: i64,
}

impl Usage {
    /// What is left of it at `now`. A clock that was set back makes nothing grow.
    pub fn decayed(self, now: i64) -> f64 {
        let halvings = now.saturating_sub(self.at).max(0) as f64 / USAGE_HALF_LIFE_US as f64;
        self.device_us * (-halvings).exp2()
    }

    /// With what an attempt that ended at `now` has used.
    pub fn plus(self, now: i64, device_us: f64) -> Self {
        Self { device_us: self.decayed(now) + device_us, at: now.max(self.at) }
    }
}

/// What an attempt has used that ended after so long on so many devices.
pub fn used_us(lasted_us: i64, devices: f64) -> f64 {
    lasted_us.max(0) as f64 * devices
}

/// What an attempt counts as that runs for so long.
pub fn running_us(lasted_us: i64, devices: f64) -> f64 {
    used_us(lasted_us.max(LEAST_RUNNING_US), devices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_it_is_forgotten_every_week() {
        let usage = Usage { device_us: 8.0, at: 100 };
        assert_eq!(usage.decayed(100), 8.0);
        assert_eq!(usage.decayed(100 + USAGE_HALF_LIFE_US), 4.0);
        assert_eq!(usage.decayed(100 + 3 * USAGE_HALF_LIFE_US), 1.0);
        assert_eq!(usage.decayed(0), 8.0, "a clock that was set back");
    }

    #[test]
    fn adding_up_in_steps_is_adding_up_at_once() {
        let one = Usage { device_us: 0.0, at: 0 }.plus(USAGE_HALF_LIFE_US, 6.0).plus(2 * USAGE_HALF_LIFE_US, 1.0);
        assert_eq!(one, Usage { device_us: 4.0, at: 2 * USAGE_HALF_LIFE_US });
    }

    #[test]
    fn what_has_just_begun_counts_as_a_minute() {
        assert_eq!(running_us(0, 2.0), 120e6);
        assert_eq!(running_us(90_000_000, 0.5), 45e6);
        assert_eq!(used_us(-5, 1.0), 0.0);
    }
}
