//! One ratio: ours against a rival's fastest.

use anyhow::Context;
use rrm_spec::Precision;
use serde::{Deserialize, Serialize};

use crate::{
    peer::Peer,
    plan::{Comparison, Rival},
    protocol::{Hello, Layout, Setup, Variant},
    roster::Roster,
    statistics::{Ratio, median},
    turns::take_turns,
};

/// What is tried of PyTorch in f32.
const F32_VARIANTS: [Variant; 3] =
    [Variant::PLAIN, Variant::CHANNELS_LAST, Variant { layout: Layout::Nchw, compile: true }];

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Turns of each side.
    pub rounds: u32,
    /// Whether `torch.compile` is tried: it takes minutes the first time.
    pub compile: bool,
}

/// A ratio that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The rival, by its own words.
    pub library: Hello,
    /// Median milliseconds of our step.
    pub ours_ms: f64,
    /// Median milliseconds of the rival's step.
    pub theirs_ms: f64,
    /// The rival's over ours.
    pub ratio: Ratio,
    /// The rival's fastest.
    pub variant: Variant,
    /// The rival's variants that did not run, and why.
    pub not_run: Vec<String>,
}

/// Measures `comparison` with peers that are started for it alone.
///
/// # Errors
/// When ours has no such network or precision, or none of the rival's variants runs.
pub fn measure(comparison: &Comparison, roster: &Roster, effort: Effort) -> anyhow::Result<Measured> {
    let mut ours = roster.ours()?;
    ours.set_up(&setup(comparison, comparison.ours, Variant::PLAIN))?;
    let mut rival = roster.rival(comparison.rival)?;
    let trials = trials(comparison, &mut rival, effort)?;
    // What was compiled would have to be compiled once more.
    if trials.ready != Some(trials.fastest) {
        rival.set_up(&setup(comparison, comparison.theirs, trials.fastest))?;
    }
    let [ours_ms, theirs_ms] = take_turns([&mut ours, &mut rival], effort.rounds)?;
    Ok(Measured {
        library: rival.hello().clone(),
        ours_ms: median(&ours_ms),
        theirs_ms: median(&theirs_ms),
        ratio: Ratio::of(&theirs_ms, &ours_ms),
        variant: trials.fastest,
        not_run: trials.not_run,
    })
}

fn setup(comparison: &Comparison, precision: Precision, variant: Variant) -> Setup {
    let Comparison { arch, mode, batch, .. } = comparison;
    Setup { arch: arch.clone(), workload: mode.to_string(), batch: *batch, precision, variant }
}

/// The variants that a rival is tried in.
fn variants(comparison: &Comparison) -> &'static [Variant] {
    match (comparison.rival, comparison.theirs) {
        (Rival::PyTorch, Precision::F32) => &F32_VARIANTS,
        // PyTorch's fastest by far: its NCHW is a fifth slower.
        (Rival::PyTorch, Precision::Bf16) => &[Variant::CHANNELS_LAST],
        (Rival::Candle, _) => &[Variant::PLAIN],
    }
}

struct Trials {
    fastest: Variant,
    /// What the rival is set up for now.
    ready: Option<Variant>,
    not_run: Vec<String>,
}

fn trials(comparison: &Comparison, rival: &mut Peer, effort: Effort) -> anyhow::Result<Trials> {
    let tried: Vec<_> = variants(comparison).iter().filter(|variant| effort.compile || !variant.compile).collect();
    if let [only] = tried[..] {
        return Ok(Trials { fastest: *only, ready: None, not_run: Vec::new() });
    }
    let mut not_run = Vec::new();
    let (mut times, mut ready) = (Vec::new(), None);
    for &variant in tried {
        ready = match trial(&setup(comparison, comparison.theirs, variant), rival) {
            Ok(time) => {
                times.push((time, variant));
                Some(variant)
            }
            Err(error) => {
                not_run.push(format!("{variant}: {error:#}"));
                None
            }
        };
    }
    let fastest = times.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
    let (_, fastest) = fastest.with_context(|| not_run.join("; "))?;
    Ok(Trials { fastest, ready, not_run })
}

/// A step that warms up (and compiles), and the faster of two that count.
fn trial(setup: &Setup, rival: &mut Peer) -> anyhow::Result<f64> {
    rival.set_up(setup)?;
    let times = rival.steps(3)?;
    Ok(times[1].min(times[2]))
}
