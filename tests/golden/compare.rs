//! Comparisons, and what they found.

use std::fmt::Debug;

use anyhow::{Context, Result, bail, ensure};

/// How close a number must come to the expected one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tolerance {
    /// Equal; 0 and -0 are.
    Exact,
    /// So far apart at most.
    Absolute(f64),
    /// By so much of the expected number.
    Each(f64),
    /// By so much of the largest expected number.
    Scaled(f64),
}

/// How many times the error of PyTorch's own f32 run, against its f64 run, ours may have where that is more than the index allows.
pub(crate) const OF_PYTORCHS_ERROR: f64 = 8.0;

/// What a comparison found.
#[derive(Default)]
pub(crate) struct Report {
    part: String,
    faults: Vec<String>,
    skipped: Vec<String>,
}

impl Report {
    /// Begins a part, which messages then name.
    pub(crate) fn begin(&mut self, part: impl Debug) {
        self.part = format!("{part:?}");
    }

    fn fault(&mut self, what: String) {
        self.faults.push(if self.part.is_empty() { what } else { format!("[{}] {what}", self.part) });
    }

    /// Compares things that must be equal.
    pub(crate) fn same<T: PartialEq + Debug + ?Sized>(&mut self, what: &str, found: &T, expected: &T) {
        if found != expected {
            self.fault(format!("{what}: found {}, expected {}", shortened(found), shortened(expected)));
        }
    }

    /// Compares numbers, of which infinities and NaN must stand in the same places.
    pub(crate) fn close(&mut self, what: &str, found: &[f64], expected: &[f64], tolerance: Tolerance) {
        if found.len() != expected.len() {
            let lengths = format!("found {} numbers, expected {}", found.len(), expected.len());
            self.fault(format!("{what}: {lengths}"));
            return;
        }
        let largest = largest(expected);
        let excess = |(f, e): (&f64, &f64)| excess(*f, *e, tolerance, largest);
        let excesses: Vec<f64> = found.iter().zip(expected).map(excess).collect();
        let Some(worst) = (0..excesses.len()).max_by(|&a, &b| excesses[a].total_cmp(&excesses[b])) else { return };
        if std::env::var_os("RRM_GOLDEN_MARGINS").is_some() {
            eprintln!("golden margin: {what}: {:.1e} of {tolerance:?}", excesses[worst]);
        }
        if excesses[worst] > 1.0 {
            let missed = excesses.iter().filter(|&&excess| excess > 1.0).count();
            self.fault(format!(
                "{what}: {missed} of {} numbers differ; worst at {worst}: found {:e}, expected {:e}, {:.3e} times {tolerance:?}",
                found.len(), found[worst], expected[worst], excesses[worst],
            ));
        }
    }

    /// Compares numbers of which a share may differ.
    pub(crate) fn mostly(&mut self, what: &str, found: &[f64], expected: &[f64], tolerance: Tolerance, share: f64) {
        let largest = largest(expected);
        let near = |(f, e): (&f64, &f64)| excess(*f, *e, tolerance, largest) <= 1.0;
        let close = found.iter().zip(expected).filter(|&pair| near(pair)).count();
        if std::env::var_os("RRM_GOLDEN_MARGINS").is_some() {
            eprintln!("golden margin: {what}: {close} of {} within {tolerance:?}, {share} needed", expected.len());
        }
        if found.len() != expected.len() || (close as f64) < share * expected.len() as f64 {
            self.fault(format!(
                "{what}: {close} of {} numbers are within {tolerance:?} of {} expected ones, fewer than {share}",
                found.len(),
                expected.len(),
            ));
        }
    }

    /// Compares f32 numbers of paths that rounding sends other ways: against f64, at least the share `often` of as many as in
    /// PyTorch's own f32 run must be within the tolerance; of another folder than the repository's, whose seed nobody has seen, or so many
    /// that chance explains what is missing: of a dozen images a few more or less are no sign of anything. Where a run ended earlier
    /// in f32, up to there.
    pub(crate) fn as_often(
        &mut self,
        often: f64,
        what: &str,
        [found, pytorch, exact]: [&[f64]; 3],
        tolerance: Tolerance,
    ) {
        let length = found.len().min(pytorch.len()).min(exact.len());
        let largest = largest(exact);
        let near = |numbers: &[f64]| {
            let pairs = numbers.iter().zip(exact).take(length);
            pairs.filter(|&(&number, &exact)| excess(number, exact, tolerance, largest) <= 1.0).count()
        };
        let (own, theirs) = (near(found), near(pytorch));
        if std::env::var_os("RRM_GOLDEN_MARGINS").is_some() {
            eprintln!(
                "golden margin: {what}: {own} of {length} within {tolerance:?}, of PyTorch's {theirs}, {often} needed"
            );
        }
        let by_chance = is_another_folder() && chance(own, theirs, length) >= CHANCE;
        if length == 0 || (own as f64) < often * theirs as f64 && !by_chance {
            self.fault(format!(
                "{what}: {own} of {length} numbers are within {tolerance:?} of f64's, of PyTorch's {theirs}"
            ));
        }
    }

    /// Compares the signs of f32 gradients: more than 99.9 % of those that are more than rounding must be PyTorch's.
    pub(crate) fn same_signs(&mut self, what: &str, found: &[f64], expected: &[f64]) {
        const SHARE: f64 = 0.999;
        // PyTorch's own f32 input gradients are off its f64 ones by up to 7e-6 of their root mean square (largest of all
        // networks, the deepest), so what is smaller than this has the sign that rounding gave it.
        const ROUNDING: f64 = 1e-5;
        let root_mean_square = (expected.iter().map(|e| e * e).sum::<f64>() / expected.len() as f64).sqrt();
        let pairs = found.iter().zip(expected).filter(|(_, expected)| expected.abs() > ROUNDING * root_mean_square);
        let (all, alike) =
            pairs.fold((0, 0), |(all, alike), (found, expected)| (all + 1, alike + u32::from(found * expected > 0.0)));
        if std::env::var_os("RRM_GOLDEN_MARGINS").is_some() {
            eprintln!("golden margin: {what}: {} of {all} signs differ", all - alike);
        }
        if found.len() != expected.len() || f64::from(alike) <= SHARE * f64::from(all) {
            self.fault(format!("{what}: {alike} of {all} signs are alike, not more than {SHARE} of them"));
        }
    }

    /// Notes a part of a file that is not compared, and why.
    pub(crate) fn skip(&mut self, what: impl Into<String>) {
        let what = what.into();
        // Both arithmetics of f32 leave the same out.
        if !self.skipped.contains(&what) {
            self.skipped.push(what);
        }
    }

    /// What was skipped, where nothing differed.
    pub(crate) fn finish(self) -> Result<Vec<String>> {
        if self.faults.is_empty() { Ok(self.skipped) } else { bail!("{}", self.faults.join("\n")) }
    }
}

fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().filter(|number| number.is_finite()).fold(0.0, |largest, number| largest.max(number.abs()))
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
pub(crate) fn number_after(text: &str, words: &str) -> Result<f64> {
    let found = text.find(words).with_context(|| format!("`{text}` says nothing of `{words}`"))?;
    let rest = &text[found + words.len()..];
    let mut numbers = numbers(rest);
    numbers.next().with_context(|| format!("`{text}` has no number after `{words}`"))
}

/// The tolerance that follows `words` in a text of the index.
pub(crate) fn tolerance_after(text: &str, words: &str) -> Result<f64> {
    let tolerance = number_after(text, words)?;
    ensure!(tolerance < 0.1, "`{text}` allows {tolerance} for `{words}`, which compares nothing");
    Ok(tolerance)
}

/// All numbers in a text, without their signs. Digits in names, as of `l2` and `r0`, are none.
pub(crate) fn numbers(text: &str) -> impl Iterator<Item = f64> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(|c: char| c.is_ascii_alphanumeric() || c == '.')?;
            let of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if rest[start..].starts_with(|c: char| c.is_ascii_alphabetic()) {
                rest = rest[start..].trim_start_matches(of_word);
                continue;
            }
            let is_number = |len: &usize| rest.get(start..start + len).is_some_and(|text| text.parse::<f64>().is_ok());
            let longest = (1..=rest.len() - start).rfind(is_number);
            let Some(len) = longest else {
                rest = &rest[start + 1..];
                continue;
            };
            let number = rest[start..start + len].parse().ok();
            rest = &rest[start + len..];
            return number;
        }
    })
}

/// Whether the numbers are not the repository's own, for which bounds are as narrow as they can be.
pub(crate) fn is_another_folder() -> bool {
    std::env::var_os("RRM_GOLDEN_DIR").is_some()
}

/// Less likely than this, a difference is no accident.
const CHANCE: f64 = 1e-3;

/// How likely it is that of `length` trials each, of equal chances, one side has `own` successes or fewer where both together have
/// `own + theirs`: Fisher's exact test, one-sided.
fn chance(own: usize, theirs: usize, length: usize) -> f64 {
    let mut factorials = vec![0.0];
    (1..=2 * length).for_each(|n| factorials.push(factorials[n - 1] + (n as f64).ln()));
    let choose = |n: usize, k: usize| factorials[n] - factorials[k] - factorials[n - k];
    let successes = own + theirs;
    let likely = |k: usize| (choose(length, k) + choose(length, successes - k) - choose(2 * length, successes)).exp();
    (successes.saturating_sub(length)..=own).map(likely).sum()
}

/// Trials of the comparisons themselves: one that cannot fail would be none.
pub(crate) mod trials {
    use super::*;

    fn mostly_fails(found: &[f64], expected: &[f64], share: f64) -> bool {
        let mut report = Report::default();
        report.mostly("numbers", found, expected, Tolerance::Each(0.01), share);
        report.finish().is_err()
    }

    fn as_often_fails(found: &[f64], pytorch: &[f64], exact: &[f64]) -> bool {
        let mut report = Report::default();
        report.as_often(0.75, "numbers", [found, pytorch, exact], Tolerance::Each(0.01));
        report.finish().is_err()
    }

    fn same_signs_fails(found: &[f64], expected: &[f64]) -> bool {
        let mut report = Report::default();
        report.same_signs("numbers", found, expected);
        report.finish().is_err()
    }

    fn fails(found: &[f64], expected: &[f64], tolerance: Tolerance) -> bool {
        let mut report = Report::default();
        report.close("numbers", found, expected, tolerance);
        report.finish().is_err()
    }

    /// Differences are noticed, and none is made up.
    pub(crate) fn closeness() -> Result<()> {
        use Tolerance::{Absolute, Each, Exact, Scaled};
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        // Of a dozen numbers so many ones.
        let near = |count| [vec![1.0; count], vec![9.0; 12 - count]].concat();
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
            mostly_fails(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 9.0, 9.0], 0.75),
            mostly_fails(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0], 0.75),
            as_often_fails(&[1.0, 2.0, 9.0, 9.0], &[1.0, 2.0, 3.0, 9.0], &[1.0, 2.0, 3.0, 4.0]) || is_another_folder(),
            as_often_fails(&near(2), &near(11), &near(12)),
            chance(2, 11, 12) < CHANCE,
            as_often_fails(&[], &[], &[]),
            same_signs_fails(&[1.0, -2.0, 3.0], &[1.0, 2.0, 3.0]),
            same_signs_fails(&[1.0, 0.0, 3.0], &[1.0, 2.0, 3.0]),
            same_signs_fails(&[1.0, nan, 3.0], &[1.0, 2.0, 3.0]),
            same_signs_fails(&[1.0, 2.0], &[1.0, 2.0, 3.0]),
            same_signs_fails(&[], &[]),
        ];
        let must_pass = [
            fails(&[0.0], &[-0.0], Exact),
            fails(&[100.0, 4.0], &[100.0, 1.0], Scaled(0.05)),
            fails(&[nan, inf, 1.0], &[nan, inf, 1.0], Exact),
            fails(&[], &[], Exact),
            mostly_fails(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 9.0], 0.75),
            as_often_fails(&[1.0, 9.0, 3.0, 9.0], &[1.0, 2.0, 9.0, 9.0], &[1.0, 2.0, 3.0, 4.0]),
            as_often_fails(&[1.0, 2.0, 3.0, 9.0], &[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0]),
            chance(8, 11, 12) < CHANCE,
            same_signs_fails(&[1.5, -2.5, 1e-6], &[1.0, -2.0, -1e-6]),
        ];
        if must_fail.contains(&false) || must_pass.contains(&true) {
            bail!("of the pairs that differ {must_fail:?} are noticed; of those that do not, {must_pass:?}");
        }
        Ok(())
    }

    /// Tolerances are read as they are written.
    pub(crate) fn texts() -> Result<()> {
        let text = "f64: logits/latent 1e-10 rel (max-abs), params l2/probe 1e-7; momentum .9, f32 vs .f32: 1e-4 rel";
        let read = ["logits/latent", "params", "momentum", "f32 vs .f32:"].map(|words| number_after(text, words));
        let read: Vec<f64> = read.into_iter().collect::<Result<_>>()?;
        let numbers: Vec<f64> = numbers("0.1*(1-0.15*s), r0 d_3 5.").collect();
        if tolerance_after(text, "momentum").is_ok() {
            bail!("a tolerance of .9 is taken for one");
        }
        if read != [1e-10, 1e-7, 0.9, 1e-4] || numbers != [0.1, 1.0, 0.15, 5.0] || number_after(text, "losses").is_ok()
        {
            bail!("read {read:?} and {numbers:?}");
        }
        Ok(())
    }
}
