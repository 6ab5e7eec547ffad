//! Random numbers that are functions of keys.

/// The increment of SplitMix64: 2^64 divided by the golden ratio, odd.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// splitmix64 (Steele et al. 2014), keyed by seed and name.
pub(crate) struct Stream {
    state: u64,
}

impl Stream {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        Self { state: mixed(seed) ^ fnv1a(name) }
    }

    /// The next number in [0, 1), of 53 random bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(GAMMA);
        (mixed(self.state) >> 11) as f64 * 2f64.powi(-53)
    }

    /// The next number of mean 0 and deviation 1 (Box and Muller 1958, one of the pair).
    pub(crate) fn normal(&mut self) -> f64 {
        // 1 - u lies in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// A key that depends on `state` and on `key`; the order of several matters.
pub(crate) fn absorbed(state: u64, key: u64) -> u64 {
    mixed(state.wrapping_add(GAMMA) ^ mixed(key.wrapping_add(GAMMA)))
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
