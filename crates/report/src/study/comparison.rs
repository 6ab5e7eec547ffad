//! Rows against each other: on the same seeds, and on the same images.

use rrm_spec::{Accuracy, JobId, Outcome};
use serde::Serialize;

use super::{Outcomes, Study, StudyRow};
use crate::{
    McNemar, Measurement, Run, SampleMean, Source,
    number::probability,
    sheet::{Cell, Content, Sheet, SheetRow, header},
};

/// Two rows, the first less the second, over the seeds that both were trained with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Label of the first row.
    pub first: String,
    /// Label of the second row.
    pub second: String,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Difference of natural accuracies, a fraction; over the seeds that have both.
    pub natural: Option<SampleMean>,
    /// Difference of robust accuracies, a fraction; over the seeds that have both under the same attack.
    pub robust: Option<SampleMean>,
    /// Tests on the same images, of those seeds whose images are known.
    pub tests: Vec<PairedTest>,
}

/// Two networks of the same seed on the same images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairedTest {
    /// The seed.
    pub seed: u64,
    /// The evaluations, of the first and of the second network.
    pub evaluations: (JobId, JobId),
    /// Images.
    pub images: usize,
    /// On natural images.
    pub natural: McNemar,
    /// Under the attack.
    pub robust: McNemar,
}

/// Of every two rows that share a seed for which an accuracy of both is known.
pub(super) fn comparisons(rows: &[StudyRow], outcomes: &Outcomes) -> Vec<Comparison> {
    let pairs =
        rows.iter().enumerate().flat_map(|(index, second)| rows[index + 1..].iter().map(move |first| (first, second)));
    let comparisons = pairs.map(|(first, second)| comparison(first, second, outcomes));
    comparisons.filter(|comparison| comparison.natural.is_some() || comparison.robust.is_some()).collect()
}

fn comparison(first: &StudyRow, second: &StudyRow, outcomes: &Outcomes) -> Comparison {
    let pairs = shared(&first.ours.runs, &second.ours.runs);
    let difference = |pairs: &[(&Run, &Run)], of: fn(&Run) -> Measurement| {
        let fraction = |run| of(run).accuracy().and_then(Accuracy::fraction);
        let differences: Vec<f64> =
            pairs.iter().filter_map(|(first, second)| Some(fraction(*first)? - fraction(*second)?)).collect();
        SampleMean::of(&differences)
    };
    let attacked_alike: Vec<_> =
        pairs.iter().copied().filter(|(first, second)| first.attack == second.attack).collect();
    Comparison {
        first: first.label.clone(),
        second: second.label.clone(),
        seeds: pairs.iter().map(|(run, _)| run.seed).collect(),
        natural: difference(&pairs, |run| run.row.natural),
        robust: difference(&attacked_alike, |run| run.robust),
        tests: attacked_alike.iter().filter_map(|(first, second)| test(first, second, outcomes)).collect(),
    }
}

/// Networks of the same seed on the same images; a seed that a row has more than once pairs with none.
fn shared<'a>(first: &'a [Run], second: &'a [Run]) -> Vec<(&'a Run, &'a Run)> {
    fn only(runs: &[Run], seed: u64) -> Option<&Run> {
        let mut of_seed = runs.iter().filter(|run| run.seed == seed);
        of_seed.next().filter(|_| of_seed.next().is_none())
    }
    let pair = |run: &'a Run| {
        let seed = run.seed;
        let pair = (only(first, seed)?, only(second, seed)?);
        (pair.0.row.dataset.name == pair.1.row.dataset.name).then_some(pair)
    };
    first.iter().filter_map(pair).collect()
}

fn test(first: &Run, second: &Run, outcomes: &Outcomes) -> Option<PairedTest> {
    let evaluations = (evaluation(first)?, evaluation(second)?);
    let (of_first, of_second) = (outcomes.get(&evaluations.0)?, outcomes.get(&evaluations.1)?);
    let on = |right: fn(Outcome) -> bool| McNemar::of_outcomes(of_first, of_second, right);
    Some(PairedTest {
        seed: first.seed,
        evaluations,
        images: of_first.len(),
        natural: on(|outcome| outcome != Outcome::Misclassified)?,
        robust: on(|outcome| outcome == Outcome::Robust)?,
    })
}

/// The evaluation that a network's robust accuracy is of, where it has the outcomes of one attack alone.
pub(super) fn evaluation(run: &Run) -> Option<JobId> {
    let Measurement::Measured { source: Source::Evaluation(job), .. } = run.robust else { return None };
    let of_job = run.provenance.evaluations.iter().find(|evaluation| evaluation.job == job)?;
    (of_job.results.len() == 1).then_some(job)
}

/// The comparisons, laid out.
pub(super) fn sheet(study: &Study) -> Sheet {
    let headers = vec![
        header(["first − second"]),
        header(["seeds"]),
        header(["natural", "points"]),
        header(["robust", "points"]),
        header(["McNemar, natural", "only first : second"]),
        header(["McNemar, robust", "only first : second"]),
    ];
    let rows = study.comparisons.iter().map(|comparison| SheetRow::apart(cells(comparison))).collect();
    let mut remarks = vec![
        "Differences in percentage points over the seeds that both rows have; mean ± half-width of the 95 % Student-t interval of \
         the paired differences."
            .to_owned(),
    ];
    if study.comparisons.iter().any(|comparison| !comparison.tests.is_empty()) {
        remarks.push(
            "McNemar: images that only one of the two networks of a seed gets right, and the exact two-sided probability of so uneven \
             a split were both as good; not corrected for the number of comparisons."
                .to_owned(),
        );
    } else {
        remarks.push("McNemar's test needs the outcomes of single images, which are not at hand.".to_owned());
    }
    Sheet { naming: 1, content: Content::Numbers, headers, rows, footnotes: Vec::new(), remarks }
}

fn cells(comparison: &Comparison) -> Vec<Cell> {
    vec![
        Cell::plain(format!("{} − {}", comparison.first, comparison.second)),
        Cell::plain(comparison.seeds.len().to_string()),
        difference(comparison.natural),
        difference(comparison.robust),
        tests(comparison, |test| test.natural),
        tests(comparison, |test| test.robust),
    ]
}

fn difference(difference: Option<SampleMean>) -> Cell {
    let Some(SampleMean { mean, half_width, .. }) = difference else { return Cell::none() };
    let mean = match format!("{:+.2}", 100.0 * mean).replace('-', "−") {
        zero if zero.trim_start_matches(['+', '−']) == "0.00" => "0.00".to_owned(),
        mean => mean,
    };
    match half_width {
        Some(half_width) => Cell::plain(format!("{mean} ± {:.2}", 100.0 * half_width)),
        None => Cell::plain(mean),
    }
}

fn tests(comparison: &Comparison, of: fn(&PairedTest) -> McNemar) -> Cell {
    let line = |test: &PairedTest| {
        let McNemar { only_first, only_second, p, .. } = of(test);
        let seed = if comparison.seeds.len() > 1 { format!("seed {}: ", test.seed) } else { String::new() };
        format!("{seed}{only_first} : {only_second}, p {}", probability(p))
    };
    let mut lines = comparison.tests.iter().map(line);
    match lines.next() {
        Some(first) => Cell::with_details(first, lines),
        None => Cell::none(),
    }
}
