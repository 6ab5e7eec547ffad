//! What a single step does and leaves alone.

use rrm_models::Network;
use rrm_spec::RepresentationLoss;
use rrm_train::step;

use crate::support::{batch, fast_at, network, rrm, sat, state, student};

fn batches_tracked(network: &Network) -> Vec<f64> {
    let counters = state(network).into_iter().filter(|(key, _)| key.ends_with("num_batches_tracked"));
    counters.map(|(_, value)| value[0]).collect()
}

#[test]
fn rrm_leaves_the_teachers_weights_and_statistics_alone() {
    let teacher = network("vgg11/16", 1, 32);
    let before = state(&teacher);
    let mut student = student(network("resnet18/16", 2, 32), 1, 2);
    let student_before = state(student.network());
    let mut step = step::build(&rrm(5e-3, 2, RepresentationLoss::Cosine), Some(&teacher), 0);
    step.step(&mut student, &batch()).unwrap();
    assert_eq!(state(&teacher), before);
    assert_ne!(state(student.network()), student_before);
}

#[test]
fn rrm_updates_once_per_replay() {
    let teacher = network("dnn/16", 1, 32);
    let mut student = student(network("dnn/16", 2, 32), 1, 3);
    let mut step = step::build(&rrm(5e-3, 3, RepresentationLoss::RelativeL2), Some(&teacher), 0);
    assert_eq!(step.updates_per_batch(), 3);
    let stats = step.step(&mut student, &batch()).unwrap();
    assert_eq!((student.step(), stats.updates, stats.accuracy.total), (3, 3, 6));
}

#[test]
fn replays_descend_on_the_same_batch() {
    let teacher = network("vgg11/16", 1, 32);
    let loss = |replays| {
        let mut student = student(network("vgg11/16", 2, 32), 1, 10);
        let mut step = step::build(&rrm(0.0, replays, RepresentationLoss::Cosine), Some(&teacher), 0);
        let stats = step.step(&mut student, &batch()).unwrap();
        stats.loss_sum / f64::from(stats.updates)
    };
    assert!(loss(10) < 0.7 * loss(1), "{} {}", loss(10), loss(1));
}

#[test]
fn an_attack_in_eval_mode_moves_no_statistics_and_one_in_train_mode_does() {
    for (method, forward_passes) in [(sat("8/255", "2/255", 3), 1.0), (fast_at("8/255", "2/255", 3), 4.0)] {
        let mut student = student(network("vgg11/16", 2, 32), 1, 2);
        step::build(&method, None, 0).step(&mut student, &batch()).unwrap();
        let tracked = batches_tracked(student.network());
        assert!(tracked.iter().all(|&count| count == forward_passes), "{method:?}: {tracked:?}");
    }
}

#[test]
fn an_update_follows_the_gradient_decay_and_momentum_of_every_parameter() {
    let mut student = student(network("vgg11/16", 2, 32), 1, 4);
    let before = state(student.network());
    // A loss that reaches a single weight: the others feel the decay alone.
    let (name, weight) = student.network().parameters()[0].clone();
    for _ in 0..2 {
        student.update(&weight.sum_all().unwrap(), &batch().pixels).unwrap();
    }
    let rates = [0, 1].map(|step| student.timetable().at(step).learning_rate);
    let parameters: Vec<_> = student.network().parameters().iter().map(|(name, _)| name.clone()).collect();
    for ((key, old), (_, new)) in before.iter().zip(state(student.network())) {
        if !parameters.contains(key) {
            assert_eq!(*old, new, "{key}");
            continue;
        }
        let gradient = if *key == name { 1.0 } else { 0.0 };
        for (old, new) in old.iter().zip(new) {
            let first_direction = gradient + 5e-4 * old;
            let once = old - rates[0] * first_direction;
            let twice = once - rates[1] * (0.9 * first_direction + gradient + 5e-4 * once);
            assert!((twice - new).abs() < 1e-14, "{key}: {twice} {new}");
        }
    }
}
