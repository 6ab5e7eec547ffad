//! The results as `docs/performance.md`.

use std::{collections::BTreeSet, fmt::Write};

use rrm_spec::Precision;

use crate::{
    claim::{Check, Claim},
    compare::Measured,
    load::TOLERATED,
    plan::{Comparison, Rival},
    results::{Results, Row},
    work::MultiplyAdds,
};

/// What is written by hand stands between these, and stays.
const NOTES: [&str; 2] =
    ["<!-- written by hand: the benchmark keeps it -->", "<!-- end of what is written by hand -->"];

/// The whole page; `old` is the page that it replaces, whose notes it keeps.
pub fn render(results: &Results, old: Option<&str>) -> String {
    let sections = [
        head(results),
        "## Against PyTorch, both in f32".to_owned(),
        comparisons(results, |c| c.rival == Rival::PyTorch && c.theirs == Precision::F32),
        "## Against PyTorch's bf16 autocast".to_owned(),
        comparisons(results, |c| c.rival == Rival::PyTorch && c.theirs == Precision::Bf16),
        "## Against stock Candle".to_owned(),
        comparisons(results, |c| c.rival == Rival::Candle),
        "## Of our own steps".to_owned(),
        Claim::ALL.map(|claim| checks(results, claim)).into_iter().flatten().collect::<Vec<_>>().join("\n\n"),
        "## The machine's limits".to_owned(),
        limits(results),
        skipped(results),
        notes(old),
    ];
    let mut page = sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n\n");
    page.push('\n');
    page
}

fn head(results: &Results) -> String {
    let stamps = || {
        let comparisons = results.comparisons.iter().map(|row| (&row.date, &row.revision));
        comparisons.chain(results.checks.iter().map(|row| (&row.date, &row.revision)))
    };
    let dates: BTreeSet<&str> = stamps().map(|(date, _)| date.as_str()).collect();
    let revisions: BTreeSet<&str> = stamps().map(|(_, revision)| revision.as_str()).collect();
    let machine = &results.machine;
    format!(
        "# Performance\n\nMeasured by `make bench` on {}, of {}, beside {}.\nMachine: {}, {} processors, {} GiB, with {}.",
        listed(dates),
        listed(revisions),
        listed(results.libraries()),
        machine.processor,
        machine.processors,
        machine.memory_gib,
        machine.instructions.join(", "),
    )
}

fn listed(words: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

const COLUMNS: &str = "\
| network | step | batch | in | images/s | GFLOP/s (of peak) | theirs | as | ratio (rounds) | goal | |
|---|---|--:|---|--:|--:|--:|---|--:|--:|---|";

fn comparisons(results: &Results, wanted: impl Fn(&Comparison) -> bool) -> String {
    let rows = results.comparisons.iter().filter(|row| wanted(&row.question));
    let lines: Vec<_> = rows.filter_map(|row| Some(comparison(results, row, row.outcome.measured()?))).collect();
    if lines.is_empty() { "Not measured here.".to_owned() } else { format!("{COLUMNS}\n{}", lines.join("\n")) }
}

fn comparison(results: &Results, row: &Row<Comparison, Measured>, measured: &Measured) -> String {
    let Comparison { arch, mode, batch, ours, goal, .. } = &row.question;
    let Measured { ours_ms, theirs_ms, ratio, variant, .. } = measured;
    let speed = |ms: &f64| format!("{:.1}", f64::from(*batch) * 1e3 / ms);
    let rate = rate(&row.question, *ours_ms);
    let peak = results.limits.map(|limits| format!(" ({:.0} %)", 100.0 * rate / limits.peak_all));
    let (goal, verdict) = match goal {
        Some(goal) => (format!("≥ {goal}"), verdict(ratio.value >= *goal, row.others)),
        None => ("–".to_owned(), String::new()),
    };
    format!(
        "| {arch} | {mode} | {batch} | {ours} | {} | {rate:.0}{} | {} | {variant} | **{:.2}** ({:.2}–{:.2}) | {goal} | {verdict} |",
        speed(ours_ms),
        peak.unwrap_or_default(),
        speed(theirs_ms),
        ratio.value,
        ratio.low,
        ratio.high,
    )
}

/// GFLOP/s of our step.
fn rate(comparison: &Comparison, ours_ms: f64) -> f64 {
    let network = MultiplyAdds::of(&comparison.arch).expect("the shapes of every planned network are known");
    (network.operations(comparison.mode) * u64::from(comparison.batch)) as f64 / ours_ms * 1e-6
}

fn verdict(met: bool, others: f64) -> String {
    let verdict = if met { "met" } else { "not met" };
    match others > TOLERATED {
        true => format!("{verdict}, but disturbed: {:.0} % of the processors' time went to others", 100.0 * others),
        false => verdict.to_owned(),
    }
}

fn checks(results: &Results, claim: Claim) -> Option<String> {
    let rows = results.checks.iter().filter(|row| row.question.claim == claim);
    let lines: Vec<_> = rows.filter_map(check).collect();
    let title = format!("The number is {}.", claim.number());
    let columns = "| of | number (rounds) | goal | | from |\n|---|--:|--:|---|---|";
    (!lines.is_empty()).then(|| format!("{title}\n\n{columns}\n{}", lines.join("\n")))
}

fn check(row: &Row<Check, crate::check::Checked>) -> Option<String> {
    let checked = row.outcome.measured()?;
    let goal = row.question.claim.goal();
    let spread = checked.spread.map(|(low, high)| format!(" ({low:.3}–{high:.3})")).unwrap_or_default();
    let (value, detail, verdict) = (checked.value, &checked.detail, verdict(goal.met(checked.value), row.others));
    Some(format!("| {} | **{value:.3}**{spread} | {goal} | {verdict} | {detail} |", row.question))
}

fn limits(results: &Results) -> String {
    let Some(limits) = results.limits else { return "Not measured here.".to_owned() };
    format!(
        "| | one thread | {} threads |\n|---|--:|--:|\n\
         | multiply-adds on registers, f32, GFLOP/s | {:.0} | {:.0} |\n\
         | triad `a = b + s·c` over memory, GB/s | {:.1} | {:.1} |",
        limits.threads, limits.peak_one, limits.peak_all, limits.bandwidth_one, limits.bandwidth_all
    )
}

/// What has no answer, by its reason.
fn skipped(results: &Results) -> String {
    let mut text = String::new();
    let comparisons = results.comparisons.iter().map(|row| (row.question.to_string(), row.outcome.skipped()));
    let checks = results
        .checks
        .iter()
        .map(|row| (format!("{} ({:?})", row.question, row.question.claim), row.outcome.skipped()));
    for (question, why) in comparisons.chain(checks) {
        if let Some(why) = why {
            let _ = write!(text, "\n- {question}: {}", why.replace('\n', " "));
        }
    }
    for row in &results.comparisons {
        for variant in row.outcome.measured().map_or(&[][..], |measured| &measured.not_run) {
            let _ = write!(text, "\n- {}, PyTorch as {}", row.question, variant.replace('\n', " "));
        }
    }
    if text.is_empty() { text } else { format!("## What was not measured\n{text}") }
}

fn notes(old: Option<&str>) -> String {
    let [begin, end] = NOTES;
    let kept = old.and_then(|old| Some(old.split_once(begin)?.1.split_once(end)?.0));
    format!("{begin}{}{end}", kept.unwrap_or("\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::Checked,
        claim::checks,
        limits::Limits,
        machine::Machine,
        protocol::{Hello, Variant},
        results::{Outcome, all_comparisons},
        statistics::Ratio,
    };

    fn row<Q, A>(question: Q, outcome: Outcome<A>) -> Row<Q, A> {
        Row { question, date: "2026-11-26".into(), revision: "abc1234".into(), others: 0.01, outcome }
    }

    /// ResNet18's training at 100 images/s beside 40, one check, one row that was skipped.
    fn results() -> Results {
        let instructions = vec!["avx2".to_owned(), "avx512f".to_owned()];
        let machine =
            Machine { processor: "Example (family 25, model 17)".into(), processors: 2, instructions, memory_gib: 24 };
        let measured = Measured {
            library: Hello { name: "PyTorch".into(), version: "2.15.0".into() },
            ours_ms: 1280.0,
            theirs_ms: 3200.0,
            ratio: Ratio { value: 2.5, low: 2.45, high: 2.554 },
            variant: Variant::CHANNELS_LAST,
            not_run: vec!["NCHW, compiled: no\ncompiler".into()],
        };
        let checked = Checked { value: 1.9, spread: Some((1.85, 1.95)), detail: "19 ms and 10 ms".into() };
        Results {
            limits: Some(Limits {
                threads: 2,
                peak_one: 120.0,
                peak_all: 240.0,
                bandwidth_one: 20.0,
                bandwidth_all: 30.0,
            }),
            comparisons: vec![
                row(all_comparisons()[0].clone(), Outcome::Measured(measured)),
                row(all_comparisons()[1].clone(), Outcome::Skipped("no bf16".into())),
            ],
            checks: vec![row(checks(Claim::Threads)[0].clone(), Outcome::Measured(checked))],
            ..Results::new(machine)
        }
    }

    #[test]
    fn a_ratio_becomes_a_line_with_its_rate_and_its_verdict() {
        let page = render(&results(), None);
        // 100 images/s of 3.33 GFLOP each.
        let line = "| resnet18 | train | 128 | f32 | 100.0 | 333 (139 %) | 40.0 | channels_last | **2.50** (2.45–2.55) | ≥ 2.4 | met |";
        assert!(page.contains(line), "{page}");
        assert!(
            page.contains("| resnet18 train at batch 128 | **1.900** (1.850–1.950) | ≥ 1.8 | met | 19 ms and 10 ms |"),
            "{page}"
        );
    }

    #[test]
    fn a_ratio_below_its_goal_says_so() {
        let mut results = results();
        results.comparisons[0].question.goal = Some(2.51);
        assert!(render(&results, None).contains("| ≥ 2.51 | not met |"));
    }

    #[test]
    fn a_row_that_was_taken_beside_other_work_says_so() {
        let mut results = results();
        results.comparisons[0].others = 0.43;
        let page = render(&results, None);
        assert!(page.contains("| ≥ 2.4 | met, but disturbed: 43 % of the processors' time went to others |"), "{page}");
        assert_eq!(page.matches("disturbed").count(), 1);
    }

    #[test]
    fn the_head_names_machine_versions_date_and_sources() {
        let page = render(&results(), None);
        for words in
            ["on 2026-11-26", "of abc1234", "PyTorch 2.15.0", "Example (family 25, model 17), 2 processors, 24 GiB"]
        {
            assert!(page.contains(words), "{words}: {page}");
        }
    }

    #[test]
    fn what_was_not_measured_is_listed_with_its_reason() {
        let page = render(&results(), None);
        assert!(page.contains("- resnet18 train at batch 128, f32 against PyTorch in bf16: no bf16\n"), "{page}");
        assert!(page.contains("f32 against PyTorch in f32, PyTorch as NCHW, compiled: no compiler\n"), "{page}");
    }

    #[test]
    fn notes_by_hand_outlive_a_new_page() {
        let [begin, end] = NOTES;
        let old = render(&results(), None).replace(begin, &format!("{begin}\n\nTried in vain: magic."));
        let page = render(&results(), Some(&old));
        assert_eq!(page, old);
        assert!(page.contains("Tried in vain: magic.") && page.trim_end().ends_with(end));
    }
}
