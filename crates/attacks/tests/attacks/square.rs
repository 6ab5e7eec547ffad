use rrm_attacks::{Attack, Ball, Square, square::Round};
use rrm_spec::{Mode, Norm, SquareLoss, SquareSchedule};

use crate::victims::{Formula, images, keys, pixels};

fn square(epsilon: f64, queries: u32) -> Square {
    Square {
        ball: Ball { norm: Norm::Linf, epsilon },
        queries,
        restarts: 1,
        loss: SquareLoss::Margin,
        initial_share: 0.8,
        schedule: SquareSchedule::Fixed,
    }
}

/// Class 0 while the pixels' sum is above 0.45 each.
fn threshold() -> Formula {
    Formula::linear(&[&[1.0, 1.0, 1.0], &[0.0; 3]], &[0.0, 3.0 * 0.45])
}

#[test]
fn a_search_without_gradients_finds_the_way_down() {
    let natural = images(&[[0.5, 0.5, 0.5]]);
    let attacked = square(0.2, 50).perturb(&threshold(), Mode::Eval, &natural, &[0], &keys(1, &[0])).unwrap();
    assert_eq!(attacked.broken_by, [Some(0)]);
    assert!(pixels(&attacked.images).iter().sum::<f64>() < 1.35);
    let attacked = square(0.04, 50).perturb(&threshold(), Mode::Eval, &natural, &[0], &keys(1, &[0])).unwrap();
    assert_eq!(attacked.broken_by, [None]);
    assert_eq!(pixels(&attacked.images), pixels(&natural));
}

#[test]
fn broken_images_are_asked_about_no_more() {
    let victim = threshold();
    // The first is misclassified as it is, the second falls after a few queries at most, the third never.
    let natural = images(&[[0.1, 0.1, 0.1], [0.45, 0.45, 0.4501], [0.9, 0.9, 0.9]]);
    let attacked = square(0.1, 40).perturb(&victim, Mode::Eval, &natural, &[0; 3], &keys(3, &[0, 1, 2])).unwrap();
    assert_eq!((attacked.broken_by[0], attacked.broken_by[2]), (Some(0), None));
    let passes = victim.passes();
    assert_eq!(passes[..2], [3, 2]);
    assert!(passes[2..].iter().all(|&images| images <= 2) && passes.last() == Some(&1), "{passes:?}");
}

#[test]
fn queries_are_counted_and_losses_never_rise() {
    let natural = images(&[[0.5, 0.5, 0.5], [0.9, 0.9, 0.9]]);
    let mut rounds: Vec<Vec<f64>> = Vec::new();
    let mut observer = |round: &Round<'_>| rounds.push(round.losses.to_vec());
    let rng = keys(1, &[0, 1]);
    let random = |row: usize| rrm_data::ImageRng::new(rng.seed, rng.stream, &[row as u64]);
    let run = square(0.2, 50).single_run(&threshold(), Mode::Eval, &natural, &[0, 0], random, &mut observer).unwrap();
    assert_eq!(run.queries[1], 51);
    assert!(run.queries[0] < 51 && !run.correct[0] && run.correct[1], "{run:?}");
    assert!(rounds.windows(2).all(|pair| (0..2).all(|image| pair[1][image] <= pair[0][image])));
}

#[test]
fn a_ball_of_l1_is_refused() {
    let attack = Square { ball: Ball { norm: Norm::L1, epsilon: 1.0 }, ..square(0.1, 3) };
    let natural = images(&[[0.5, 0.5, 0.5]]);
    let refused = attack.perturb(&threshold(), Mode::Eval, &natural, &[0], &keys(1, &[0])).unwrap_err();
    assert!(refused.to_string().contains("not of l1"), "{refused}");
}
