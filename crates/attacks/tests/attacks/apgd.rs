use std::num::NonZeroU32;

use candle_core::{DType, Tensor};
use rrm_attacks::{Apgd, Attack, Ball, Victim};
use rrm_spec::{ApgdLoss, Mode, Norm};

use crate::victims::{Formula, assert_close, images, keys, pixels};

/// Class 0 while the pixel is above 0.45.
fn threshold() -> Formula {
    Formula::linear(&[&[1.0], &[0.0]], &[0.0, 0.45])
}

fn apgd(epsilon: f64, iterations: u32, restarts: u32) -> Apgd {
    let (ball, loss, passes) = (Ball { norm: Norm::Linf, epsilon }, ApgdLoss::Ce, NonZeroU32::MIN);
    Apgd { ball, iterations, restarts, loss, targets: None, passes }
}

#[test]
fn the_first_step_is_plain_and_reaches_the_edge_of_the_ball() {
    let victim = Formula::linear(&[&[1.0, -1.0], &[0.0; 2]], &[0.0; 2]);
    let (natural, start) = (images(&[[0.5, 0.05]]), images(&[[0.55, 0.1]]));
    let mut iterates = Vec::new();
    let victim = Victim::by_cross_entropy(&victim, Mode::Eval);
    apgd(0.1, 1, 1).single_run(&victim, &natural, &[0], &start, &mut |i| iterates.push(i.iterate(0))).unwrap();
    assert_close(&iterates.concat(), &[0.55, 0.1, 0.4, 0.15]);
}

#[test]
fn later_steps_keep_a_quarter_of_the_last_change() {
    // A slope so gentle that it hardly counts, in a ball so large that no step is cut: steps of 2ε until a checkpoint.
    let victim = Formula::linear(&[&[1.0, 0.0], &[0.0, 0.0]], &[0.0; 2]);
    let natural = images(&[[0.5, 0.5]]);
    let mut iterates = Vec::new();
    let victim = Victim::by_cross_entropy(&victim, Mode::Eval);
    let attack = Apgd { ball: Ball { norm: Norm::L2, epsilon: 0.25 }, ..apgd(0.0, 20, 1) };
    // Starts on the side that the slope leads away from, and off the axis: the projection then bends the way.
    let start = images(&[[0.6, 0.65]]);
    attack.single_run(&victim, &natural, &[0], &start, &mut |i| iterates.push(i.iterate(0))).unwrap();
    let project = |z: [f64; 2]| {
        let change = [z[0] - 0.5, z[1] - 0.5];
        let shrinkage = (0.25 / change[0].hypot(change[1])).min(1.0);
        [0.5 + change[0] * shrinkage, 0.5 + change[1] * shrinkage]
    };
    let first = project([0.6 - 0.5, 0.65]);
    let plain = project([first[0] - 0.5, first[1]]);
    let mixed = |i: usize| first[i] + 0.75 * (plain[i] - first[i]) + 0.25 * (first[i] - [0.6, 0.65][i]);
    assert_close(&iterates[1], &first);
    assert_close(&iterates[2], &project([mixed(0), mixed(1)]));
}

#[test]
fn a_halved_step_goes_on_from_the_best_point() {
    // With three iterations every one is a checkpoint, at which a step that did not raise the loss is halved.
    let victim = Formula::valley(1.0);
    let (natural, start) = (images(&[[0.5]]), images(&[[0.45]]));
    let (mut steps, mut iterates, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    let judged = Victim::by_cross_entropy(&victim, Mode::Eval);
    let run = apgd(0.1, 3, 1).single_run(&judged, &natural, &[0], &start, &mut |i| {
        steps.extend(i.step_sizes());
        iterates.extend(i.iterate(0));
        losses.extend_from_slice(i.losses);
    });
    // 0.45 + 0.2 is cut to 0.6: worse, but by the first window's quirk a rise. Then 0.6 - 0.2 is cut to 0.4, and
    // 0.6 - 0.75 * 0.2 + 0.25 * 0.15 = 0.4875 is better than the start: a rise.
    assert_close(&steps[..3], &[0.2, 0.2, 0.2]);
    assert_close(&iterates[..3], &[0.45, 0.6, 0.4875]);
    // 0.4875 + 0.2 is cut to 0.6, and 0.4875 + 0.75 * 0.1125 - 0.25 * 0.1125 = 0.54375 is worse: halved, and back.
    assert_close(&[steps[3], iterates[3]], &[0.1, 0.4875]);
    assert!(losses[3] < losses[2]);
    assert_close(&pixels(&run.unwrap().highest), &[0.4875]);
}

#[test]
fn the_last_misclassified_iterate_is_handed_back() {
    let victim = threshold();
    let (natural, start) = (images(&[[0.5], [0.9]]), images(&[[0.46], [0.9]]));
    let (mut iterates, mut correct) = (Vec::new(), Vec::new());
    let judged = Victim::by_cross_entropy(&victim, Mode::Eval);
    let run = apgd(0.1, 3, 1)
        .single_run(&judged, &natural, &[0, 0], &start, &mut |i| {
            iterates.extend(i.iterate(0));
            correct.push(i.correct[0]);
        })
        .unwrap();
    assert_eq!(correct, [true, false, false, false]);
    assert_eq!((run.first_broken, run.last_broken), (vec![Some(1), None], vec![Some(3), None]));
    assert_close(&pixels(&run.adversarial), &[iterates[3], 0.9]);
    assert_close(&run.best_losses[..1], &[(1.0 + (0.45 - iterates[3]).exp()).ln()]);
}

#[test]
fn a_start_that_is_misclassified_counts() {
    // The only step leads across the valley, out of where class 1 wins.
    let victim = Formula::valley(-0.1);
    let (natural, start) = (images(&[[0.6]]), images(&[[0.52]]));
    let judged = Victim::by_cross_entropy(&victim, Mode::Eval);
    let run = apgd(0.2, 1, 1).single_run(&judged, &natural, &[0], &start, &mut |_| {}).unwrap();
    assert_eq!((run.first_broken, run.last_broken), (vec![Some(0)], vec![Some(0)]));
    assert_close(&pixels(&run.adversarial), &[0.52]);
}

#[test]
fn restarts_go_on_with_the_survivors_alone() {
    let victim = threshold();
    // One is misclassified as it is, one falls to the first restart, one is out of reach.
    let natural = images(&[[0.3], [0.5], [0.9]]);
    let attacked = apgd(0.1, 4, 3).perturb(&victim, Mode::Eval, &natural, &[0; 3], &keys(0, &[0, 1, 2])).unwrap();
    let once_each = |count: usize| vec![count; 5];
    assert_eq!(victim.passes(), [vec![3], once_each(2), once_each(1), once_each(1)].concat());
    assert_eq!(attacked.broken_by, [Some(0), Some(0), None]);
    assert_close(&pixels(&attacked.images), &[0.3, 0.4, 0.9]);
}

#[test]
fn an_attack_ends_when_no_image_is_left() {
    let victim = threshold();
    let natural = images(&[[0.5], [0.48]]);
    let attacked = apgd(0.1, 4, 3).perturb(&victim, Mode::Eval, &natural, &[0; 2], &keys(0, &[0, 1])).unwrap();
    assert_eq!(victim.passes(), [2; 6]);
    assert_eq!(attacked.broken_by, [Some(0), Some(0)]);
}

#[test]
fn given_starts_are_those_of_the_images_that_are_left() {
    // A plateau: only a start beyond its edge is misclassified, and nothing moves.
    let flat = Formula::new(DType::F64, |x| {
        let (nothing, inside) = ((x - x)?, x.ge(0.45)?.to_dtype(DType::F64)?);
        Tensor::cat(&[&(&nothing + inside)?, &(&nothing + 0.5)?], 1)
    });
    let natural = images(&[[0.5], [0.5], [0.5]]);
    let starts = [images(&[[0.5], [0.4], [0.5]]), images(&[[0.5], [0.5], [0.41]])];
    let judged = Victim::by_cross_entropy(&flat, Mode::Eval);
    let attacked = apgd(0.1, 2, 2).perturb_from(&judged, &natural, &[0; 3], &starts).unwrap();
    assert_eq!(attacked.broken_by, [None, Some(0), Some(1)]);
    assert_close(&pixels(&attacked.images), &[0.5, 0.4, 0.41]);
}

#[test]
fn an_empty_batch_stays_empty() {
    let natural = images::<1>(&[]);
    let attacked = apgd(0.1, 2, 2).perturb(&threshold(), Mode::Eval, &natural, &[], &keys(0, &[])).unwrap();
    assert_eq!((attacked.images.dims(), attacked.broken_by.len()), (natural.dims(), 0));
}

/// One pixel for each of nine classes, which is the class's logit but for a bias; the label is class 0.
fn nine_classes() -> Formula {
    Formula::linear(
        &[
            &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            &[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            &[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        ],
        &[1.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
    )
}

#[test]
fn nine_classes_are_eight_targets_each_once() {
    let (victim, natural) = (nine_classes(), images(&[[0.5; 9]]));
    let targeted = Apgd { loss: ApgdLoss::TargetedDlr, ..apgd(0.01, 2, 1) };
    let attacked = targeted.perturb(&victim, Mode::Eval, &natural, &[0], &keys(0, &[0])).unwrap();
    assert_eq!(attacked.broken_by, [None]);
    // A look at the natural image, its ranking, and three passes for each target.
    assert_eq!(victim.passes().len(), 2 + 8 * 3);
    let (nine, victim) = (Apgd { targets: Some(9), ..targeted }, nine_classes());
    nine.perturb(&victim, Mode::Eval, &natural, &[0], &keys(0, &[0])).unwrap();
    assert_eq!(victim.passes().len(), 2 + 8 * 3, "there are no nine");
}

#[test]
fn targets_are_tried_in_the_order_of_their_natural_logits() {
    // Class 8 is the nearest, 0.3 below the label; a change of both logits by epsilon makes up for it or not.
    let natural = images(&[[0.5; 9]]);
    let run_of = |epsilon| {
        let targeted = Apgd { loss: ApgdLoss::TargetedDlr, ..apgd(epsilon, 5, 1) };
        targeted.perturb(&nine_classes(), Mode::Eval, &natural, &[0], &keys(0, &[0])).unwrap().broken_by[0]
    };
    assert_eq!([0.16, 0.14].map(run_of), [Some(0), None]);
}

#[test]
fn what_was_seen_is_the_lowest_margin_of_all_iterates() {
    // The margin is the pixel less 0.45: 0.05 at first, -0.05 at the edge of the ball.
    let attacked = apgd(0.1, 4, 1)
        .perturb(&threshold(), Mode::Eval, &images(&[[0.5], [0.9]]), &[0; 2], &keys(0, &[0, 1]))
        .unwrap();
    let margins: Vec<f64> = attacked.seen.iter().map(|seen| seen.margin).collect();
    assert_close(&margins, &[-0.05, 0.35]);
    assert_close(&[attacked.seen[1].cross_entropy], &[(1.0 + (-0.35f64).exp()).ln()]);
    assert!(attacked.seen[0].iteration.is_some() && attacked.seen[1].iteration.is_none());
}
