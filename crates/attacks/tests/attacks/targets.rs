//! Targeted projected gradient descent, and gradients that are averaged.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use candle_core::{DType, Tensor};
use rrm_attacks::{Attack, Ball, Form, Pgd};
use rrm_spec::{Mode, Norm, PgdSelection, PgdStart, PgdTarget};

use crate::victims::{Formula, assert_close, images, keys, pixels};

/// One pixel for each class: its logit, but for a bias that puts class 3 second and class 2 last.
fn classes() -> Formula {
    Formula::linear(
        &[&[1.0, 0.0, 0.0, 0.0], &[0.0, 1.0, 0.0, 0.0], &[0.0, 0.0, 1.0, 0.0], &[0.0, 0.0, 0.0, 1.0]],
        &[0.9, 0.3, 0.1, 0.5],
    )
}

fn pgd(target: PgdTarget, selection: PgdSelection) -> Pgd {
    let (ball, start) = (Ball { norm: Norm::Linf, epsilon: 0.1 }, PgdStart::Natural);
    let (form, passes) = (Form::MadryLab, NonZeroU32::MIN);
    Pgd { ball, form, steps: 1, step_size: 0.1, start, selection, restarts: 1, target, passes }
}

/// The class whose pixel was raised.
fn led_to(target: PgdTarget, image: u32) -> usize {
    let attack = pgd(target, PgdSelection::Last);
    let attacked = attack.perturb(&classes(), Mode::Eval, &images(&[[0.5; 4]]), &[0], &keys(0, &[image])).unwrap();
    let raised: Vec<usize> = (0..4).filter(|&class| pixels(&attacked.images)[class] > 0.5).collect();
    assert_eq!(raised.len(), 1, "{:?}", pixels(&attacked.images));
    raised[0]
}

#[test]
fn images_are_led_to_the_class_that_the_mode_names() {
    assert_eq!(led_to(PgdTarget::SecondBest, 0), 3);
    assert_eq!(led_to(PgdTarget::LeastLikely, 0), 2);
    let drawn: Vec<usize> = (0..60).map(|image| led_to(PgdTarget::Random, image)).collect();
    for (class, range) in [(0, 0..=0), (1, 8..=35), (2, 8..=35), (3, 8..=35)] {
        let count = drawn.iter().filter(|&&drawn| drawn == class).count();
        assert!(range.contains(&count), "class {class} was drawn {count} of 60 times");
    }
}

#[test]
fn a_random_target_is_drawn_anew_in_each_restart() {
    // What is handed back is the nearest of what the restarts led to: class 3 as soon as one leads there.
    let attack = Pgd { restarts: 20, ..pgd(PgdTarget::Random, PgdSelection::BestLoss) };
    let attacked = attack.perturb(&classes(), Mode::Eval, &images(&[[0.5; 4]]), &[0], &keys(0, &[0])).unwrap();
    assert_close(&pixels(&attacked.images), &[0.4, 0.4, 0.4, 0.6]);
}

#[test]
fn every_class_is_tried_and_the_nearest_handed_back() {
    for selection in [PgdSelection::BestLoss, PgdSelection::StopWhenBroken] {
        let (victim, attack) = (classes(), Pgd { restarts: 2, ..pgd(PgdTarget::Each, selection) });
        let attacked = attack.perturb(&victim, Mode::Eval, &images(&[[0.5; 4]]), &[0], &keys(0, &[0])).unwrap();
        assert_close(&pixels(&attacked.images), &[0.4, 0.4, 0.4, 0.6]);
        // The ranking, and a gradient and a look for each restart and class.
        assert_eq!(victim.passes().len(), 1 + 2 * 3 * 2, "{selection:?}");
    }
}

#[test]
fn a_target_of_several_that_breaks_the_image_is_told() {
    // The label's lead over class 3 is 0.4, over class 1 it is 0.6: with 0.25 the first breaks it, and the nearest is the first.
    let attack = Pgd {
        ball: Ball { norm: Norm::Linf, epsilon: 0.25 },
        step_size: 0.25,
        ..pgd(PgdTarget::Each, PgdSelection::Last)
    };
    let attacked = attack.perturb(&classes(), Mode::Eval, &images(&[[0.5; 4]]), &[0], &keys(0, &[0])).unwrap();
    assert_eq!((attacked.broken_by[0], attacked.seen[0].iteration), (Some(0), Some(1)));
    assert_close(&[attacked.seen[0].margin], &[-0.1]);
}

#[test]
fn a_network_of_one_class_has_no_target() {
    let victim = Formula::linear(&[&[1.0]], &[0.0]);
    let attack = pgd(PgdTarget::SecondBest, PgdSelection::Last);
    let error = attack.perturb(&victim, Mode::Eval, &images(&[[0.5]]), &[0], &keys(0, &[0])).unwrap_err();
    assert!(error.to_string().contains("two classes"), "{error}");
}

/// A network whose slope is 3 and -0.5 in turns: it leads down on average.
fn wavering() -> Formula {
    let passes = Arc::new(AtomicUsize::new(0));
    Formula::new(DType::F64, move |x| {
        let slope = [3.0, -0.5][passes.fetch_add(1, Ordering::Relaxed) % 2];
        Tensor::cat(&[&(x * slope)?, &x.zeros_like()?], 1)
    })
}

#[test]
fn averaged_gradients_go_where_the_mean_leads() {
    let down = |passes| {
        let passes = NonZeroU32::new(passes).unwrap();
        let attack = Pgd { steps: 2, step_size: 0.05, passes, ..pgd(PgdTarget::Untargeted, PgdSelection::Last) };
        let victim = wavering();
        let attacked = attack.perturb(&victim, Mode::Eval, &images(&[[0.5]]), &[0], &keys(0, &[0])).unwrap();
        (pixels(&attacked.images)[0], victim.passes().len())
    };
    // One step down and one up; both down.
    for (passes, expected, count) in [(1, 0.5, 3), (2, 0.4, 5), (4, 0.4, 9)] {
        let (found, counted) = down(passes);
        assert_close(&[found], &[expected]);
        assert_eq!(counted, count, "{passes} passes");
    }
}
