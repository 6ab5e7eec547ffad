//! Comparisons, and what they found.

use std::fmt::Debug;

use anyhow::{Context, Result, bail};

/// How close a number must come to the expected one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// Equal; 0 and -0 are.
    Exact,
    /// So far apart at most.
    Absolute(f64),
    /// By so much of the expected number.
    Each(f64),
    /// By so much of the largest expected number.
    Scaled(f64),
}

/// What a comparison found.
#[derive(Default)]
pub struct Report {
    faults: Vec<String>,
    skipped: Vec<String>,
}

impl Report {
    /// Compares things that must be equal.
    pub fn same<T: PartialEq + Debug + ?Sized>(&mut self, what: &str, found: &T, expected: &T) {
        if found != expected {
            self.faults.push(format!("{what}: found {}, expected {}", shortened(found), shortened(expected)));
        }
    }

    /// Compares numbers, of which infinities and NaN must stand in the same places.
    pub fn close(&mut self, what: &str, found: &[f64], expected: &[f64], tolerance: Tolerance) {
        if found.len() != expected.len() {
            let lengths = format!("found {} numbers, expected {}", found.len(), expected.len());
            self.faults.push(format!("{what}: {lengths}"));
            return;
        }
        let largest = expected.iter().filter(|e| e.is_finite()).fold(0f64, |largest, e| largest.max(e.abs()));
        let excess = |(f, e): (&f64, &f64)| excess(*f, *e, tolerance, largest);
        let excesses: Vec<f64> = found.iter().zip(expected).map(excess).collect();
        let Some(worst) = (0..excesses.len()).max_by(|&a, &b| excesses[a].total_cmp(&excesses[b])) else { return };
        if excesses[worst] > 1.0 {
            let missed = excesses.iter().filter(|&&excess| excess > 1.0).count();
            self.faults.push(format!(
                "{what}: {missed} of {} numbers differ; worst at {worst}: found {:e}, expected {:e}, {:.3e} times {tolerance:?}",
                found.len(), found[worst], expected[worst], excesses[worst],
            ));
        }
    }

    /// Notes a part of a file that is not compared, and why.
    pub fn skip(&mut self, what: impl Into<String>) {
        self.skipped.push(what.into());
    }

    /// Takes over what another comparison found.
    pub fn absorb(&mut self, other: Self) {
        self.faults.extend(other.faults);
        self.skipped.extend(other.skipped);
    }

    /// What was skipped, where nothing differed.
    pub fn finish(self) -> Result<Vec<String>> {
        if self.faults.is_empty() { Ok(self.skipped) } else { bail!("{}", self.faults.join("\n")) }
    }
}

/// How many tolerances lie between two numbers; above 1 is a fault, as is anything between infinities or NaN and others.
fn excess(found: f64, expected: f64, tolerance: Tolerance, largest: f64) -> f64 {
    if found == expected || found.is_nan() && expected.is_nan() {
        return 0.0;
    }
    let allowed = match tolerance {
        Tolerance::Exact => 0.0,
        Tolerance::Absolute(allowed) => allowed,
        Tolerance::Each(share) => share * expected.abs(),
        Tolerance::Scaled(share) => share * largest,
    };
    let excess = (found - expected).abs() / allowed;
    if excess.is_nan() { f64::INFINITY } else { excess }
}

fn shortened(thing: &(impl Debug + ?Sized)) -> String {
    let text = format!("{thing:?}");
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The number that follows `words` in a text of the index, such as 1e-10 after `logits` in `logits 1e-10 rel`.
pub fn number_after(text: &str, words: &str) -> Result<f64> {
    let found = text.find(words).with_context(|| format!("`{text}` says nothing of `{words}`"))?;
    let rest = &text[found + words.len()..];
    let mut numbers = numbers(rest);
    numbers.next().with_context(|| format!("`{text}` has no number after `{words}`"))
}

/// All numbers in a text, without their signs.
pub fn numbers(text: &str) -> impl Iterator<Item = f64> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(|c: char| c.is_ascii_digit())?;
            // `.9` is a number; the 0 of `r0` is none, but no text that we read numbers from has names before them.
            let start = if rest[..start].ends_with('.') { start - 1 } else { start };
            let end = (1..=rest.len() - start)
                .take_while(|&len| rest.is_char_boundary(start + len))
                .filter(|&len| rest[start..start + len].parse::<f64>().is_ok())
                .last();
            let Some(len) = end else {
                rest = &rest[start + 1..];
                continue;
            };
            let number = rest[start..start + len].parse().ok();
            rest = &rest[start + len..];
            return number;
        }
    })
}

/// Trials of the comparisons themselves: one that cannot fail would be none.
pub mod trials {
    use super::*;

    fn fails(found: &[f64], expected: &[f64], tolerance: Tolerance) -> bool {
        let mut report = Report::default();
        report.close("numbers", found, expected, tolerance);
        report.finish().is_err()
    }

    /// Differences are noticed, and none is made up.
    pub fn closeness() -> Result<()> {
        use Tolerance::{Absolute, Each, Exact, Scaled};
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let must_fail = [
            fails(&[1.0], &[1.0 + 1e-15], Exact),
            fails(&[1.0, 2.0], &[1.0], Scaled(1.0)),
            fails(&[1.0, 2.1], &[1.0, 2.0], Absolute(0.05)),
            fails(&[100.0, 1.1], &[100.0, 1.0], Each(0.05)),
            fails(&[100.0, 7.0], &[100.0, 1.0], Scaled(0.05)),
            fails(&[0.1], &[0.0], Each(0.5)),
            fails(&[nan], &[0.0], Absolute(inf)),
            fails(&[0.0], &[nan], Absolute(1.0)),
            fails(&[1e300], &[inf], Scaled(1.0)),
            fails(&[-inf], &[inf], Each(1.0)),
        ];
        let must_pass = [
            fails(&[0.0], &[-0.0], Exact),
            fails(&[100.0, 4.0], &[100.0, 1.0], Scaled(0.05)),
            fails(&[nan, inf, 1.0], &[nan, inf, 1.0], Exact),
            fails(&[], &[], Exact),
        ];
        if must_fail.contains(&false) || must_pass.contains(&true) {
            bail!("of the pairs that differ {must_fail:?} are noticed; of those that do not, {must_pass:?}");
        }
        Ok(())
    }

    /// Tolerances are read as they are written.
    pub fn texts() -> Result<()> {
        let text = "f64: logits/latent 1e-10 rel (max-abs scaled), input_grad 1e-9; momentum .9, f32 vs .f32: 1e-4 rel";
        let read = ["logits/latent", "input_grad", "momentum", "f32 vs .f32:"].map(|words| number_after(text, words));
        let read: Vec<f64> = read.into_iter().collect::<Result<_>>()?;
        let numbers: Vec<f64> = numbers("0.1*(1-0.15*s), 5.").collect();
        if read != [1e-10, 1e-9, 0.9, 1e-4] || numbers != [0.1, 1.0, 0.15, 5.0] || number_after(text, "probe").is_ok() {
            bail!("read {read:?} and {numbers:?}");
        }
        Ok(())
    }
}
