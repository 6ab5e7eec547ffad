use candle_core::{DType, Tensor};
use rrm_attacks::{Attack, Ball, Fab, fab::Goal};
use rrm_spec::{Mode, Norm};

use crate::victims::{Formula, images, keys, pixels};

const NORMS: [Norm; 3] = [Norm::Linf, Norm::L2, Norm::L1];

fn fab(norm: Norm, epsilon: f64, targets: Option<u32>) -> Fab {
    Fab { ball: Ball { norm, epsilon }, iterations: 60, restarts: 1, targets }
}

/// Three classes with plane boundaries. From (1/2, 1/2, 1/2), of class 0, the way to class 1 is along (0.3, -0.4, 0), the
/// way to class 2, which is longer, along (0, 0, 1).
fn planes() -> Formula {
    Formula::linear(&[&[0.0; 3], &[0.3, -0.4, 0.0], &[0.0, 0.0, 1.0]], &[0.0, 0.05 - 0.1, -0.75])
}

/// Distance to a boundary w·x = b in each norm: how much is missing, by the dual norm of w.
fn distances(missing: f64, dual: [f64; 3]) -> [f64; 3] {
    dual.map(|dual| missing / dual)
}

#[test]
fn the_nearest_boundary_is_found_in_every_norm() {
    let natural = images(&[[0.5, 0.5, 0.5]]);
    // Of w = (0.3, -0.4, 0): 0.3·0.5 − 0.4·0.5 − 0.05 = −0.1 is missing 0.1.
    for (norm, expected) in NORMS.into_iter().zip(distances(0.1, [0.7, 0.5, 0.4])) {
        let found = fab(norm, 1.0, None).single_run(&planes(), Mode::Eval, &natural, &[0], Goal::AnyClass).unwrap();
        let distance = found.distances[0].unwrap();
        assert!((expected..expected * 1.02).contains(&distance), "{norm}: {distance} is not {expected}");
    }
    for (norm, expected) in NORMS.into_iter().zip(distances(0.25, [1.0, 1.0, 1.0])) {
        let found =
            fab(norm, 1.0, None).single_run(&planes(), Mode::Eval, &natural, &[0], Goal::Classes(&[2])).unwrap();
        let distance = found.distances[0].unwrap();
        assert!((expected..expected * 1.02).contains(&distance), "{norm}: {distance} is not {expected}");
    }
}

#[test]
fn only_what_lies_in_the_ball_counts() {
    let natural = images(&[[0.5, 0.5, 0.5]]);
    for (norm, distance) in NORMS.into_iter().zip(distances(0.1, [0.7, 0.5, 0.4])) {
        for targets in [None, Some(1), Some(2), Some(9)] {
            let broken_by = |epsilon| {
                let attack = fab(norm, epsilon, targets);
                let attacked = attack.perturb(&planes(), Mode::Eval, &natural, &[0], &keys(1, &[0])).unwrap();
                (attacked.broken_by[0], pixels(&attacked.images) == pixels(&natural))
            };
            assert_eq!(broken_by(distance * 1.05), (Some(0), false), "{norm} {targets:?}");
            assert_eq!(broken_by(distance * 0.95), (None, true), "{norm} {targets:?}");
        }
    }
}

#[test]
fn images_that_are_misclassified_as_they_are_cost_one_pass_and_stay() {
    let (victim, natural) = (planes(), images(&[[0.9, 0.1, 0.5]]));
    let attacked = fab(Norm::L2, 0.5, None).perturb(&victim, Mode::Eval, &natural, &[0], &keys(1, &[0])).unwrap();
    assert_eq!((attacked.broken_by, pixels(&attacked.images)), (vec![Some(0)], pixels(&natural)));
    assert_eq!(victim.passes(), [1]);
}

#[test]
fn later_restarts_begin_elsewhere() {
    // The natural image lies on a hilltop, where no slope shows a way.
    let victim =
        Formula::new(DType::F64, |x| Tensor::cat(&[&(x - 0.5)?.sqr()?.affine(-1.0, 0.01)?, &x.zeros_like()?], 1));
    let natural = images(&[[0.5]]);
    for (restarts, expected) in [(1, None), (3, Some(1))] {
        let attack = Fab { restarts, ..fab(Norm::Linf, 0.15, None) };
        let attacked = attack.perturb(&victim, Mode::Eval, &natural, &[0], &keys(1, &[0])).unwrap();
        assert_eq!(attacked.broken_by, [expected]);
    }
}
