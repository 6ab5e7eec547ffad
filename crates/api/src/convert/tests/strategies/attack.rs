//! Attacks.

use super::*;

pub(in crate::convert::tests) fn threat() -> impl Strategy<Value = ThreatModel> {
    (select(vec![Norm::Linf, Norm::L2, Norm::L1]), epsilon()).prop_map(|(norm, epsilon)| ThreatModel { norm, epsilon })
}

pub(in crate::convert::tests) fn fgsm() -> impl Strategy<Value = FgsmSpec> {
    let dialects = select(vec![FgsmDialect::Goodfellow, FgsmDialect::Wong, FgsmDialect::Tramer]);
    (threat(), dialects, of(epsilon())).prop_map(|(threat, dialect, step_size)| FgsmSpec { threat, dialect, step_size })
}

pub(in crate::convert::tests) fn pgd() -> impl Strategy<Value = PgdSpec> {
    let starts = select(vec![PgdStart::Natural, PgdStart::Uniform, PgdStart::Sphere]);
    let selections = select(vec![PgdSelection::Last, PgdSelection::BestLoss, PgdSelection::StopWhenBroken]);
    let targets =
        vec![PgdTarget::Untargeted, PgdTarget::Random, PgdTarget::LeastLikely, PgdTarget::SecondBest, PgdTarget::Each];
    let dialects = select(vec![PgdDialect::Madry, PgdDialect::Art]);
    let rules = (starts, selections, select(targets), dialects);
    (threat(), positive(), epsilon(), rules, positive(), positive()).prop_map(
        |(threat, steps, step_size, (start, selection, target, dialect), restarts, eot)| PgdSpec {
            threat,
            steps,
            step_size,
            start,
            selection,
            restarts,
            target,
            eot,
            dialect,
        },
    )
}

pub(in crate::convert::tests) fn apgd() -> impl Strategy<Value = ApgdSpec> {
    let losses = select(vec![ApgdLoss::Ce, ApgdLoss::Dlr, ApgdLoss::TargetedDlr]);
    let art = positive().prop_map(|batch| ApgdDialect::Art { batch });
    let dialects = prop_oneof![Just(ApgdDialect::Reference), art];
    (threat(), positive(), positive(), losses, of(positive()), positive(), dialects).prop_map(
        |(threat, iterations, restarts, loss, targets, eot, dialect)| ApgdSpec {
            threat,
            iterations,
            restarts,
            loss,
            targets,
            eot,
            dialect,
        },
    )
}

pub(in crate::convert::tests) fn autoattack() -> impl Strategy<Value = AutoAttackSpec> {
    let parts = select(vec![
        AutoAttackPart::ApgdCe,
        AutoAttackPart::ApgdDlr,
        AutoAttackPart::ApgdT,
        AutoAttackPart::Fab,
        AutoAttackPart::FabT,
        AutoAttackPart::Square,
    ]);
    let custom = (vec(parts, 0..4), positive(), positive(), of(positive()), positive(), positive()).prop_map(
        |(attacks, iterations, restarts, targets, eot, queries)| {
            AutoAttackVersion::Custom(CustomAutoAttack { attacks, iterations, restarts, targets, eot, queries })
        },
    );
    let named = select(vec![AutoAttackVersion::Standard, AutoAttackVersion::Plus, AutoAttackVersion::Rand]);
    (threat(), prop_oneof![named, custom]).prop_map(|(threat, version)| AutoAttackSpec { threat, version })
}

/// Boxed, as methods and trainings are: nested where they lie, they would not fit a test's stack.
pub(in crate::convert::tests) fn attack() -> BoxedStrategy<AttackSpec> {
    prop_oneof![
        fgsm().prop_map(AttackSpec::Fgsm),
        pgd().prop_map(AttackSpec::Pgd),
        apgd().prop_map(AttackSpec::Apgd),
        square().prop_map(AttackSpec::Square),
        fab().prop_map(AttackSpec::Fab),
        carlini_wagner().prop_map(AttackSpec::CarliniWagner),
        autoattack().prop_map(AttackSpec::AutoAttack),
        adaptive().prop_map(AttackSpec::Adaptive),
    ]
    .boxed()
}

pub(in crate::convert::tests) fn adaptive() -> impl Strategy<Value = AdaptiveSpec> {
    let through = select(vec![Through::All, Through::Transfer, Through::Representation, Through::Joint]);
    let distance = select(vec![RepresentationLoss::Cosine, RepresentationLoss::RelativeL2, RepresentationLoss::L2]);
    (threat(), through, positive(), positive(), distance, number()).prop_map(
        |(threat, through, iterations, restarts, distance, weight)| AdaptiveSpec {
            threat,
            through,
            iterations,
            restarts,
            distance,
            weight,
        },
    )
}

pub(in crate::convert::tests) fn square() -> impl Strategy<Value = SquareSpec> {
    let losses = select(vec![SquareLoss::Margin, SquareLoss::Ce]);
    let schedules = select(vec![SquareSchedule::Fixed, SquareSchedule::Rescaled]);
    (threat(), positive(), positive(), losses, number(), schedules).prop_map(
        |(threat, queries, restarts, loss, initial_share, schedule)| SquareSpec {
            threat,
            queries,
            restarts,
            loss,
            initial_share,
            schedule,
        },
    )
}

pub(in crate::convert::tests) fn fab() -> impl Strategy<Value = FabSpec> {
    (threat(), positive(), positive(), of(positive())).prop_map(|(threat, iterations, restarts, targets)| FabSpec {
        threat,
        iterations,
        restarts,
        targets,
    })
}

pub(in crate::convert::tests) fn carlini_wagner() -> impl Strategy<Value = CarliniWagnerSpec> {
    (threat(), positive(), positive(), number(), number(), number()).prop_map(
        |(threat, iterations, search_steps, learning_rate, initial_constant, confidence)| CarliniWagnerSpec {
            threat,
            iterations,
            search_steps,
            learning_rate,
            initial_constant,
            confidence,
        },
    )
}
