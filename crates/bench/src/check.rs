//! Measuring what is claimed.

use anyhow::Context;
use rrm_spec::Precision;
use serde::{Deserialize, Serialize};

use crate::{
    claim::{Check, Claim},
    memory::Resident,
    peer::Peer,
    plan::Rival,
    protocol::{Setup, Variant},
    roster::Roster,
    statistics::{Ratio, median},
    turns::take_turns,
};

/// Batch sizes between which the time per image has to be constant.
const BATCHES: [u32; 4] = [32, 64, 128, 256];

/// Steps until a process holds the most that it ever will.
const STEPS_TO_THE_PEAK: u32 = 3;

/// The outcome of a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// What [`Claim::number`] says it is.
    pub value: f64,
    /// The lowest and highest of any round, where there are rounds.
    pub spread: Option<(f64, f64)>,
    /// What it was computed from, for people.
    pub detail: String,
}

impl Checked {
    fn of(ratio: Ratio, detail: String) -> Self {
        Self { value: ratio.value, spread: Some((ratio.low, ratio.high)), detail }
    }
}

/// Measures `check` with peers that are started for it alone.
///
/// # Errors
/// When a library has no such network, or is not here.
pub fn verify(check: &Check, roster: &Roster, rounds: u32) -> anyhow::Result<Checked> {
    match check.claim {
        Claim::RrmStep => rrm_step(check, roster, rounds),
        Claim::Memory => memory(check, roster),
        Claim::BatchSizes => batch_sizes(check, roster, rounds),
        Claim::Threads => threads(check, roster, rounds),
        Claim::Undisturbed => undisturbed(check, roster, rounds),
    }
}

fn setup(check: &Check) -> Setup {
    Setup {
        arch: check.arch.clone(),
        workload: check.mode.to_string(),
        batch: check.batch,
        precision: Precision::F32,
        variant: Variant::PLAIN,
    }
}

fn ready(mut peer: Peer, setup: &Setup) -> anyhow::Result<Peer> {
    peer.set_up(setup)?;
    Ok(peer)
}

fn rrm_step(check: &Check, roster: &Roster, rounds: u32) -> anyhow::Result<Checked> {
    let teacher = check.teacher.clone().context("an RRM step has a teacher")?;
    let train = setup(check);
    let whole = Setup { workload: format!("rrm:{teacher}"), ..train.clone() };
    let forward = Setup { arch: teacher, workload: "eval".into(), ..train.clone() };
    let mut whole = ready(roster.ours()?, &whole)?;
    let mut train = ready(roster.ours()?, &train)?;
    let mut forward = ready(roster.ours()?, &forward)?;
    let [whole, train, forward] = take_turns([&mut whole, &mut train, &mut forward], rounds)?;
    let sum: Vec<_> = train.iter().zip(&forward).map(|(train, forward)| train + forward).collect();
    let (whole_ms, train, forward) = (median(&whole), median(&train), median(&forward));
    let detail = format!("{whole_ms:.1} ms; training {train:.1} ms + forward {forward:.1} ms");
    Ok(Checked::of(Ratio::of(&whole, &sum), detail))
}

fn memory(check: &Check, roster: &Roster) -> anyhow::Result<Checked> {
    let setup = setup(check);
    let (ours_before, ours) = peak(roster.ours()?, &setup)?;
    let pytorch = |variant| peak(roster.rival(Rival::PyTorch)?, &Setup { variant, ..setup.clone() });
    let (plain, channels_last) = (pytorch(Variant::PLAIN)?, pytorch(Variant::CHANNELS_LAST)?);
    let (theirs_before, theirs) = if plain.1 < channels_last.1 { plain } else { channels_last };
    let detail = format!(
        "{ours:.0} MiB, of them {ours_before:.0} before; PyTorch in its smaller layout {theirs:.0} MiB, of them {theirs_before:.0} before"
    );
    Ok(Checked { value: (ours - ours_before) / (theirs - theirs_before), spread: None, detail })
}

/// MiB that the peer's process holds before it is set up, and the most that it ever held after some steps.
fn peak(mut peer: Peer, setup: &Setup) -> anyhow::Result<(f64, f64)> {
    let before = Resident::of(peer.process_id())?.now;
    peer.set_up(setup)?;
    peer.steps(STEPS_TO_THE_PEAK)?;
    Ok((before, Resident::of(peer.process_id())?.peak))
}

fn batch_sizes(check: &Check, roster: &Roster, rounds: u32) -> anyhow::Result<Checked> {
    let peer = |batch| ready(roster.ours()?, &Setup { batch, ..setup(check) });
    let [a, b, c, d] = BATCHES;
    let (mut a, mut b, mut c, mut d) = (peer(a)?, peer(b)?, peer(c)?, peer(d)?);
    let times = take_turns([&mut a, &mut b, &mut c, &mut d], rounds)?;
    let per_image: Vec<f64> =
        times.iter().zip(BATCHES).map(|(times, batch)| median(times) / f64::from(batch)).collect();
    let (fastest, slowest) =
        per_image.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), x| (low.min(*x), high.max(*x)));
    let list: Vec<_> = BATCHES.iter().zip(&per_image).map(|(batch, ms)| format!("{ms:.3} at {batch}")).collect();
    Ok(Checked { value: slowest / fastest, spread: None, detail: format!("ms per image: {}", list.join(", ")) })
}

fn threads(check: &Check, roster: &Roster, rounds: u32) -> anyhow::Result<Checked> {
    anyhow::ensure!(roster.threads() == 2, "the claim is about two threads, not {}", roster.threads());
    let setup = setup(check);
    let mut one = ready(roster.ours_with(1)?, &setup)?;
    let mut two = ready(roster.ours_with(2)?, &setup)?;
    let [one, two] = take_turns([&mut one, &mut two], rounds)?;
    let detail = format!("{:.1} ms on one, {:.1} ms on two", median(&one), median(&two));
    Ok(Checked::of(Ratio::of(&one, &two), detail))
}

fn undisturbed(check: &Check, roster: &Roster, rounds: u32) -> anyhow::Result<Checked> {
    let setup = setup(check);
    let mut pytorch =
        ready(roster.rival(Rival::PyTorch)?, &Setup { variant: Variant::CHANNELS_LAST, ..setup.clone() })?;
    let (mut after_pytorch, mut after_ours) = (ready(roster.ours()?, &setup)?, ready(roster.ours()?, &setup)?);
    let [_, disturbed, calm] = take_turns([&mut pytorch, &mut after_pytorch, &mut after_ours], rounds)?;
    let detail = format!("{:.1} ms after PyTorch, {:.1} ms after our own", median(&disturbed), median(&calm));
    Ok(Checked::of(Ratio::of(&disturbed, &calm), detail))
}
