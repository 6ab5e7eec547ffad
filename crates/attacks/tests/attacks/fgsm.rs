use rrm_attacks::{Attack, Ball, Fgsm};
use rrm_spec::{FgsmDialect, Mode, Norm};

use crate::victims::{Formula, assert_close, images, keys, pixels};

/// The cross-entropy of class 0 rises against the first pixel and with the second, and does not know the third.
fn slope() -> Formula {
    Formula::linear(&[&[0.6, -0.8, 0.0], &[0.0; 3]], &[0.0; 2])
}

fn change(norm: Norm, dialect: FgsmDialect, step_size: f64, image: u32) -> Vec<f64> {
    let attack = Fgsm { ball: Ball { norm, epsilon: 0.1 }, dialect, step_size };
    let attacked = attack.perturb(&slope(), Mode::Eval, &images(&[[0.5; 3]]), &[0], &keys(0, &[image])).unwrap();
    pixels(&attacked.images).iter().map(|z| z - 0.5).collect()
}

#[test]
fn goodfellow_takes_one_step_to_the_edge_of_the_ball() {
    assert_close(&change(Norm::Linf, FgsmDialect::Goodfellow, 0.1, 0), &[-0.1, 0.1, 0.0]);
    let along = change(Norm::L2, FgsmDialect::Goodfellow, 0.1, 0);
    assert!(along.iter().zip([-0.06, 0.08, 0.0]).all(|(a, b)| (a - b).abs() < 2e-7), "{along:?}");
}

#[test]
fn wong_starts_anywhere_and_comes_back_into_the_ball() {
    for image in 0..20 {
        let change = change(Norm::Linf, FgsmDialect::Wong, 0.125, image);
        // From within ±0.1 a step of 0.125 leads at least to 0.025 on the other side.
        assert!((-0.1..=-0.025).contains(&change[0]) && (0.025..=0.1 + 1e-12).contains(&change[1]), "{change:?}");
        assert!(change[2].abs() <= 0.1);
    }
}

#[test]
fn tramer_spends_half_of_the_ball_at_random() {
    let changes: Vec<Vec<f64>> = (0..20).map(|image| change(Norm::Linf, FgsmDialect::Tramer, 0.05, image)).collect();
    for change in &changes {
        for (pixel, ends) in change.iter().zip([[-0.1, 0.0], [0.0, 0.1], [-0.05, 0.05]]) {
            assert!(ends.iter().any(|end| (pixel - end).abs() < 1e-12), "{change:?}");
        }
    }
    let first_ends = changes.iter().filter(|change| change[0] < -0.05).count();
    assert!((1..20).contains(&first_ends), "{first_ends} of 20 starts were on one side");
}
