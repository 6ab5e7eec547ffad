//! Attacks that are no ascent of a loss within the ball.

use std::num::NonZeroU32;

use super::Checker;
use crate::{CarliniWagnerSpec, FabSpec, Norm, SquareSpec, ThreatModel};

pub(super) fn square(spec: &SquareSpec, check: &mut Checker<'_>) {
    queries(spec.queries, check);
    check.at_most("restarts", spec.restarts.get(), 1000);
    let share = spec.initial_share;
    check.require(share > 0.0 && share <= 1.0, "initial_share", share, "must be above 0 and at most 1");
}

pub(super) fn fab(spec: &FabSpec, check: &mut Checker<'_>) {
    check.at_most("iterations", spec.iterations.get(), 10_000);
    check.at_most("restarts", spec.restarts.get(), 1000);
    if let Some(targets) = spec.targets {
        check.at_most("targets", targets.get(), 1000);
    }
}

pub(super) fn carlini_wagner(spec: &CarliniWagnerSpec, check: &mut Checker<'_>) {
    norm(&spec.threat, &[Norm::L2], check);
    check.at_most("iterations", spec.iterations.get(), 100_000);
    check.at_most("search_steps", spec.search_steps.get(), 100);
    let rate = spec.learning_rate;
    check.require(rate > 0.0 && rate <= 10.0, "learning_rate", rate, "must be above 0 and at most 10");
    let constant = spec.initial_constant;
    let allowed = "must be above 0 and at most 1e10";
    check.require(constant > 0.0 && constant <= 1e10, "initial_constant", constant, allowed);
    let confidence = spec.confidence;
    check.require((0.0..=1000.0).contains(&confidence), "confidence", confidence, "must be 0 to 1000");
}

pub(super) fn queries(queries: NonZeroU32, check: &mut Checker<'_>) {
    check.at_most("queries", queries.get(), 1_000_000);
}

/// Not every attack has a form for every norm.
pub(super) fn norm(threat: &ThreatModel, known: &[Norm], check: &mut Checker<'_>) {
    let names: Vec<String> = known.iter().map(Norm::to_string).collect();
    let allowed = format!("must be {}", names.join(" or "));
    check.require(known.contains(&threat.norm), "threat.norm", threat.norm, allowed);
}
