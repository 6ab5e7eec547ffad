//! The search for the least constant that succeeds.

/// What replaces a constant for which there is no upper end yet, in a last try.
const MOST: f64 = 1e10;

/// The constants between which the least one that succeeds lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bracket {
    lower: f64,
    upper: f64,
    constant: f64,
}

impl Bracket {
    pub(super) fn from(constant: f64) -> Self {
        Self { lower: 0.0, upper: f64::INFINITY, constant }
    }

    /// The constant that is tried next, as the reference hands it to the loss: in f32.
    pub(super) fn constant(&self) -> f64 {
        f64::from(self.constant as f32)
    }

    /// Tries the least constant that is known to succeed once more.
    pub(super) fn repeat(&mut self) {
        self.constant = self.upper.min(MOST);
    }

    /// Takes in whether the constant succeeded.
    pub(super) fn narrow(&mut self, succeeded: bool) {
        if succeeded {
            self.upper = self.constant;
        } else {
            self.lower = self.constant;
        }
        self.constant =
            if self.upper.is_infinite() { self.constant * 10.0 } else { f64::midpoint(self.lower, self.upper) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_grow_tenfold_until_one_succeeds_and_are_halved_in_between_then() {
        let mut bracket = Bracket::from(0.25);
        let mut tried = Vec::new();
        for succeeded in [false, true, true, false] {
            tried.push(bracket.constant);
            bracket.narrow(succeeded);
        }
        assert_eq!(tried, [0.25, 2.5, 1.375, 0.8125]);
        assert_eq!(bracket.constant, 1.09375);
        bracket.repeat();
        assert_eq!(bracket.constant, 1.375);
    }
}
