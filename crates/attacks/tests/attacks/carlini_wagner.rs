use rrm_attacks::{Attack, Ball, CarliniWagner};
use rrm_spec::{Mode, Norm};

use crate::victims::{Formula, images, keys, pixels};

fn attack(epsilon: f64) -> CarliniWagner {
    CarliniWagner {
        ball: Ball { norm: Norm::L2, epsilon },
        iterations: 400,
        search_steps: 9,
        learning_rate: 0.01,
        initial_constant: 0.01,
        confidence: 0.0,
    }
}

/// Class 0 unless 0.6·a − 0.8·b exceeds 0; the boundary is 0.1 away from (1/2, 1/2).
fn plane() -> Formula {
    Formula::linear(&[&[0.0; 2], &[0.6, -0.8]], &[0.0; 2])
}

#[test]
fn the_nearest_point_beyond_a_plane_is_found() {
    let found = attack(1.0).nearest(&plane(), Mode::Eval, &images(&[[0.5, 0.5]]), &[0]).unwrap();
    let distance = found.distances[0].unwrap();
    assert!((0.1..0.105).contains(&distance), "{distance}");
    let image = pixels(&found.images);
    assert!((image[0] - 0.56).abs() < 5e-3 && (image[1] - 0.42).abs() < 5e-3, "{image:?}");
}

#[test]
fn confidence_asks_for_a_lead() {
    let sure = CarliniWagner { confidence: 0.1, ..attack(1.0) };
    let distance = sure.nearest(&plane(), Mode::Eval, &images(&[[0.5, 0.5]]), &[0]).unwrap().distances[0].unwrap();
    assert!((0.2..0.21).contains(&distance), "{distance}");
}

#[test]
fn only_what_lies_in_the_ball_counts_and_broken_images_cost_nothing() {
    let natural = images(&[[0.5, 0.5], [0.9, 0.1]]);
    for (epsilon, expected) in [(0.11, Some(0)), (0.09, None)] {
        let victim = plane();
        let attacked = attack(epsilon).perturb(&victim, Mode::Eval, &natural, &[0, 0], &keys(1, &[0, 1])).unwrap();
        assert_eq!(attacked.broken_by, [expected, Some(0)]);
        assert_eq!(pixels(&attacked.images)[2..], [0.9, 0.1]);
        assert!(victim.passes()[1..].iter().all(|&images| images == 1));
    }
}

#[test]
fn an_optimisation_without_progress_ends_early() {
    // A network that answers everything alike: no constant helps.
    let victim = Formula::linear(&[&[0.0; 2], &[0.0; 2]], &[1.0, 0.0]);
    let found = attack(1.0).nearest(&victim, Mode::Eval, &images(&[[0.5, 0.5]]), &[0]).unwrap();
    assert_eq!(found.distances, [None]);
    assert_eq!(victim.passes().len(), 9 * 41);
}
