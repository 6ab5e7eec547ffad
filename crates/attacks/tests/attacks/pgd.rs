use std::num::NonZeroU32;

use rrm_attacks::{Attack, Attacked, Ball, Form, Pgd, Victim};
use rrm_models::Model;
use rrm_spec::{Mode, Norm, PgdSelection, PgdStart, PgdTarget};

use crate::victims::{Formula, assert_close, images, keys, pixels};

/// Class 0 while the pixel is above 0.45.
fn threshold() -> Formula {
    Formula::linear(&[&[1.0], &[0.0]], &[0.0, 0.45])
}

fn pgd(selection: PgdSelection, steps: u32, step_size: f64) -> Pgd {
    let ball = Ball { norm: Norm::Linf, epsilon: 0.3 };
    let (start, target, passes) = (PgdStart::Natural, PgdTarget::Untargeted, NonZeroU32::MIN);
    Pgd { ball, form: Form::MadryLab, steps, step_size, start, selection, restarts: 1, target, passes }
}

/// Attacks single pixels of class 0, all naturally at 0.5, from these starts, one slice for each restart.
fn attack_from(pgd: Pgd, victim: &dyn Model, starts: &[&[f64]]) -> Attacked {
    let pgd = Pgd { restarts: starts.len() as u32, ..pgd };
    let column = |values: &[f64]| images(&values.iter().map(|&value| [value]).collect::<Vec<_>>());
    let natural = column(&vec![0.5; starts[0].len()]);
    let starts: Vec<_> = starts.iter().map(|start| column(start)).collect();
    let victim = Victim::by_cross_entropy(victim, Mode::Eval);
    pgd.perturb_from(&victim, &natural, &vec![0; starts[0].dim(0).unwrap()], &starts, &mut |_| {}).unwrap()
}

fn attack_naturally(pgd: Pgd, victim: &dyn Model, mode: Mode) -> Attacked {
    pgd.perturb(victim, mode, &images(&[[0.5]]), &[0], &keys(0, &[0])).unwrap()
}

#[test]
fn linf_goes_down_the_slope_to_the_edge_of_ball_and_box() {
    let victim = Formula::linear(&[&[1.0, -1.0, 0.0, 1.0], &[0.0; 4]], &[0.0; 2]);
    let natural = images(&[[0.5, 0.5, 0.5, 0.1]]);
    let attack =
        |steps| pgd(PgdSelection::Last, steps, 0.07).perturb(&victim, Mode::Eval, &natural, &[0], &keys(0, &[0]));
    assert_close(&pixels(&attack(2).unwrap().images), &[0.36, 0.64, 0.5, 0.0]);
    assert_close(&pixels(&attack(9).unwrap().images), &[0.2, 0.8, 0.5, 0.0]);
}

#[test]
fn l2_goes_straight_down_the_slope_to_the_edge_of_the_ball() {
    let victim = Formula::linear(&[&[0.6, -0.8], &[0.0; 2]], &[0.0; 2]);
    let ball = Ball { norm: Norm::L2, epsilon: 0.3 };
    for (steps, length) in [(2, 0.2), (9, 0.3)] {
        let attack = Pgd { ball, ..pgd(PgdSelection::Last, steps, 0.1) };
        let attacked = attack.perturb(&victim, Mode::Eval, &images(&[[0.5, 0.5]]), &[0], &keys(0, &[0])).unwrap();
        let found = pixels(&attacked.images);
        let expected = [0.5 - 0.6 * length, 0.5 + 0.8 * length];
        // The projection's guard leaves the length short by 1e-7.
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-7), "{found:?} is not {expected:?}");
    }
}

#[test]
fn in_l2_arts_steps_end_in_the_box_before_the_ball() {
    let victim = Formula::linear(&[&[-0.5, -0.5], &[0.0; 2]], &[0.0; 2]);
    let ball = Ball { norm: Norm::L2, epsilon: 0.5 };
    let found = |form| {
        let attack = Pgd { ball, form, ..pgd(PgdSelection::Last, 1, 1.0) };
        let attacked = attack.perturb(&victim, Mode::Eval, &images(&[[0.9, 0.5]]), &[0], &keys(0, &[0])).unwrap();
        pixels(&attacked.images)
    };
    // The step of (0.5^½, 0.5^½) leaves both. The ball leaves half of it, whose first half is out of the box.
    let (madry, art) = (found(Form::MadryLab), found(Form::Art));
    let half = 0.5f64.sqrt() / 2.0;
    // The box leaves (0.1, 0.5), of length 0.26^½.
    let shrinkage = 0.5 / 0.26f64.sqrt();
    for (found, expected) in [(madry, [1.0, 0.5 + half]), (art, [0.9 + 0.1 * shrinkage, 0.5 + 0.5 * shrinkage])] {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} is not {expected:?}");
    }
}

#[test]
fn in_linf_arts_steps_are_madrylabs() {
    let victim = Formula::waves(candle_core::DType::F64, 6, &[0, 1, 2]);
    let found = |form| {
        let attack = Pgd { form, start: PgdStart::Uniform, ..pgd(PgdSelection::Last, 5, 0.1) };
        pixels(&attack.perturb(&victim, Mode::Eval, &images(&[[0.1; 6]]), &[0], &keys(0, &[0])).unwrap().images)
    };
    assert_eq!(found(Form::MadryLab), found(Form::Art));
}

#[test]
fn last_hands_back_the_last_iterate_and_best_loss_the_highest() {
    // From 0.4 the steps lead to 0.48, near the valley's bottom, and beyond it to 0.56.
    let found = |selection| attack_from(pgd(selection, 2, 0.08), &Formula::valley(1.0), &[&[0.4]]);
    assert_close(&pixels(&found(PgdSelection::Last).images), &[0.56]);
    assert_close(&pixels(&found(PgdSelection::BestLoss).images), &[0.48]);
}

#[test]
fn best_loss_includes_the_start_and_the_last_iterate() {
    let found =
        |start, steps| attack_from(pgd(PgdSelection::BestLoss, steps, 0.25), &Formula::valley(1.0), &[&[start]]);
    assert_close(&pixels(&found(0.5, 1).images), &[0.5]);
    assert_close(&pixels(&found(0.25, 1).images), &[0.5]);
}

#[test]
fn best_loss_replaces_only_by_strict_improvement() {
    // The step leads from one side of the valley to the same height on the other.
    let attacked =
        attack_from(pgd(PgdSelection::BestLoss, 1, 0.0625), &Formula::valley(1.0), &[&[0.46875], &[0.53125]]);
    assert_eq!(pixels(&attacked.images), [0.46875]);
}

#[test]
fn stopping_images_freeze_once_they_are_broken() {
    let found = |selection| attack_naturally(pgd(selection, 7, 0.04), &threshold(), Mode::Eval);
    let (stopped, last) = (found(PgdSelection::StopWhenBroken), found(PgdSelection::Last));
    assert_close(&pixels(&stopped.images), &[0.42]);
    assert_close(&pixels(&last.images), &[0.22]);
    assert_eq!((stopped.broken_by, last.broken_by), (vec![Some(0)], vec![Some(0)]));
}

#[test]
fn stopping_leaves_an_image_that_starts_broken_alone() {
    let attacked = attack_from(pgd(PgdSelection::StopWhenBroken, 7, 0.04), &threshold(), &[&[0.3, 0.5]]);
    assert_close(&pixels(&attacked.images), &[0.3, 0.42]);
}

#[test]
fn stopping_spends_no_passes_on_broken_images_in_eval_mode() {
    let victim = threshold();
    attack_from(pgd(PgdSelection::StopWhenBroken, 7, 0.04), &victim, &[&[0.3, 0.5, 0.7]]);
    // 0.3 is broken at once, 0.5 after two steps; 0.7 goes on to the last look.
    assert_eq!(victim.passes(), [3, 2, 2, 1, 1, 1, 1, 1]);
}

#[test]
fn stopping_ends_when_no_image_is_left() {
    let victim = threshold();
    attack_from(pgd(PgdSelection::StopWhenBroken, 7, 0.04), &victim, &[&[0.3, 0.46]]);
    assert_eq!(victim.passes(), [2, 1]);
}

#[test]
fn in_train_mode_stopping_still_shows_the_victim_the_whole_batch() {
    let victim = threshold();
    let attack = pgd(PgdSelection::StopWhenBroken, 3, 0.04);
    attack.perturb(&victim, Mode::Train, &images(&[[0.3], [0.9]]), &[0, 0], &keys(0, &[0, 1])).unwrap();
    assert_eq!(victim.passes(), [2, 2, 2, 2]);
}

#[test]
fn of_equal_losses_stopping_takes_the_later_restart() {
    // Broken on both sides of the valley, at the same height.
    let attacked =
        attack_from(pgd(PgdSelection::StopWhenBroken, 3, 0.01), &Formula::valley(-1.0), &[&[0.46875], &[0.53125]]);
    assert_eq!(pixels(&attacked.images), [0.53125]);
}

#[test]
fn stopping_may_hand_back_a_correct_image_of_higher_loss() {
    // At 0.2 class 1 wins by 0.1 over class 0, far above class 2; at 0.8 class 0 wins by 0.1 over both.
    let slopes: &[&[f64]] = &[&[1.0 / 6.0], &[-1.0 / 6.0], &[100.0 / 6.0]];
    let victim = Formula::linear(slopes, &[-1.0 / 30.0, 4.0 / 30.0, -40.0 / 3.0]);
    let attacked = attack_from(pgd(PgdSelection::StopWhenBroken, 1, 1e-12), &victim, &[&[0.2], &[0.8]]);
    assert_close(&pixels(&attacked.images), &[0.8]);
    assert_eq!(attacked.broken_by, [Some(0)]);
}

#[test]
fn with_last_a_later_restart_replaces_only_where_it_breaks() {
    let found = |starts: &[&[f64]]| {
        let attacked = attack_from(pgd(PgdSelection::Last, 1, 1e-12), &threshold(), starts);
        (pixels(&attacked.images)[0], attacked.broken_by[0])
    };
    for (starts, image, broken_by) in [
        ([&[0.6][..], &[0.7]], 0.6, None),
        ([&[0.6], &[0.3]], 0.3, Some(1)),
        ([&[0.3], &[0.6]], 0.3, Some(0)),
        ([&[0.3], &[0.2]], 0.2, Some(0)),
    ] {
        let found = found(&starts);
        assert!((found.0 - image).abs() < 1e-9 && found.1 == broken_by, "{starts:?}: {found:?}");
    }
}

#[test]
fn with_best_loss_the_restart_of_highest_loss_is_handed_back() {
    let attacked = attack_from(pgd(PgdSelection::BestLoss, 1, 1e-12), &threshold(), &[&[0.6], &[0.4], &[0.5]]);
    assert_close(&pixels(&attacked.images), &[0.4]);
    assert_eq!(attacked.broken_by, [Some(1)]);
}

#[test]
fn training_by_the_last_iterate_costs_one_pass_a_step() {
    for (mode, selection, passes) in [
        (Mode::Train, PgdSelection::Last, 3),
        // The look at what came of it.
        (Mode::Eval, PgdSelection::Last, 4),
        (Mode::Train, PgdSelection::BestLoss, 4),
        (Mode::Eval, PgdSelection::BestLoss, 4),
    ] {
        let victim = Formula::valley(1.0);
        attack_naturally(pgd(selection, 3, 0.04), &victim, mode);
        assert_eq!(victim.passes(), vec![1; passes], "{mode:?} {selection:?}");
    }
}

#[test]
fn restarts_and_epochs_begin_elsewhere() {
    let victim = Formula::waves(candle_core::DType::F64, 6, &[0, 1, 2]);
    let attack = Pgd { start: PgdStart::Uniform, ..pgd(PgdSelection::Last, 1, 1e-12) };
    let natural = images(&[[0.5; 6]]);
    let begin = |rng| pixels(&attack.perturb(&victim, Mode::Eval, &natural, &[0], &rng).unwrap().images);
    let base = begin(keys(0, &[0]));
    assert_eq!(base, begin(keys(0, &[0])));
    assert_ne!(base, begin(keys(1, &[0])));
    assert_ne!(base, begin(keys(0, &[1])));
    assert_ne!(base, begin(rrm_attacks::AttackRng { epoch: 1, ..keys(0, &[0]) }));
}

#[test]
fn labels_keys_and_starts_must_be_one_for_each_image() {
    let (victim, natural) = (threshold(), images(&[[0.5], [0.6]]));
    let attack = pgd(PgdSelection::Last, 1, 0.1);
    assert!(attack.perturb(&victim, Mode::Eval, &natural, &[0], &keys(0, &[0, 1])).is_err());
    assert!(attack.perturb(&victim, Mode::Eval, &natural, &[0, 0], &keys(0, &[0])).is_err());
    let judged = Victim::by_cross_entropy(&victim, Mode::Eval);
    assert!(attack.perturb_from(&judged, &natural, &[0, 0], &[], &mut |_| {}).is_err());
    assert!(attack.perturb_from(&judged, &natural, &[0, 0], &[images(&[[0.5]])], &mut |_| {}).is_err());
}
