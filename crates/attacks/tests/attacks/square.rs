use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
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

/// Of 2 × 4 × 4 numbers, each in [0, 1] or at an end.
fn scene() -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(prop_oneof![3 => 0.0..=1.0f64, 1 => Just(0.0), 1 => Just(1.0)], 32)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_point_of_an_l1_search_lies_in_ball_and_box_and_the_loss_never_rises(
        natural in scene(),
        epsilon in prop_oneof![1e-3..1.0f64, 1.0..20.0f64],
        loss in prop_oneof![Just(SquareLoss::Margin), Just(SquareLoss::Ce)],
        seed: u64,
        dtype in prop_oneof![Just(DType::F32), Just(DType::F64)],
    ) {
        let natural = Tensor::from_vec(natural, (1, 2, 4, 4), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let ball = Ball { norm: Norm::L1, epsilon };
        let points = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&points);
        let victim = Formula::new(dtype, move |x| {
            seen.lock().unwrap().push(x.clone());
            // Never broken, so that every search makes all its queries.
            let sum = (x.sum_keepdim(1)? + 1.0)?;
            Tensor::cat(&[&sum, &sum.zeros_like()?], 1)
        });
        let mut losses = Vec::new();
        let mut observer = |round: &Round<'_>| losses.push(round.losses[0]);
        let random = |_: usize| rrm_data::ImageRng::new(seed, rrm_data::Stream::AttackEvaluation, &[]);
        let attack = Square { ball, loss, ..square(0.0, 40) };
        attack.single_run(&victim, Mode::Eval, &natural, &[0], random, &mut observer).unwrap();
        let points = points.lock().unwrap();
        prop_assert_eq!((points.len(), losses.len()), (41, 41));
        for point in points.iter() {
            let distance = ball.distances(&point.reshape((1, 2, 4, 4)).unwrap(), &natural).unwrap()[0];
            prop_assert!(distance <= epsilon, "{distance} > {epsilon}");
            prop_assert!(pixels(point).iter().all(|z| (0.0..=1.0).contains(z)));
        }
        prop_assert!(losses.windows(2).all(|pair| pair[1] <= pair[0]));
    }
}

#[test]
fn an_l1_search_breaks_what_its_ball_reaches_and_nothing_else() {
    // One of 6 × 6 pixels must fall by 0.2: nearly twice its share of the larger ball.
    let victim = Formula::new(DType::F64, |x| {
        let pixel = x.narrow(1, 14, 1)?;
        Tensor::cat(&[&pixel, &(pixel.zeros_like()? + 0.3)?], 1)
    });
    let natural = Tensor::full(0.5f64, (1, 1, 6, 6), &Device::Cpu).unwrap();
    let broken_by = |epsilon| {
        let attack = Square { ball: Ball { norm: Norm::L1, epsilon }, ..square(0.0, 200) };
        attack.perturb(&victim, Mode::Eval, &natural, &[0], &keys(1, &[0])).unwrap().broken_by[0]
    };
    assert_eq!([0.19, 4.0].map(broken_by), [None, Some(0)]);
}
