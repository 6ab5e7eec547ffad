use std::sync::{Arc, Mutex};

use candle_core::{Result, Tensor};
use rrm_attacks::{Attack, AttackRng, Attacked, Ensemble, Seen};
use rrm_models::Model;
use rrm_spec::Mode;

use crate::victims::{Formula, assert_close, images, keys, pixels};

/// Breaks images whose key is a multiple of a number, by a change of its own, and notes whom it was given.
struct Scripted {
    divisor: u32,
    change: f64,
    margin: f64,
    given: Arc<Mutex<Vec<Vec<u32>>>>,
}

impl Attack for Scripted {
    fn perturb(
        &self,
        _: &dyn Model,
        _: Mode,
        pixels: &Tensor,
        labels: &[u32],
        rng: &AttackRng<'_>,
    ) -> Result<Attacked> {
        assert_eq!((pixels.dim(0)?, labels), (rng.images.len(), rng.images), "labels are the keys in this test");
        self.given.lock().unwrap().push(rng.images.to_vec());
        let broken_by: Vec<Option<u32>> = rng.images.iter().map(|key| (key % self.divisor == 0).then_some(7)).collect();
        let seen = |broken_by: &Option<u32>| Seen { iteration: *broken_by, margin: self.margin, ..Seen::NOTHING };
        let seen = broken_by.iter().map(seen).collect();
        Ok(Attacked { images: (pixels + self.change)?, broken_by, seen })
    }
}

#[test]
fn each_part_gets_what_the_ones_before_left_and_is_named() {
    let given = Arc::new(Mutex::new(Vec::new()));
    let part = |divisor, change, margin| -> Box<dyn Attack> {
        Box::new(Scripted { divisor, change, margin, given: Arc::clone(&given) })
    };
    let ensemble = Ensemble::new(vec![part(2, 0.1, 0.5), part(3, 0.2, 0.3), part(5, 0.3, 0.4)]);
    let (victim, rows) = (Formula::valley(1.0), [4, 9, 25, 7]);
    let natural = images(&[[0.5]; 4]);
    let attacked = ensemble.perturb(&victim, Mode::Eval, &natural, &rows, &keys(0, &rows)).unwrap();
    assert_eq!(*given.lock().unwrap(), [vec![4, 9, 25, 7], vec![9, 25, 7], vec![25, 7]]);
    assert_eq!(attacked.broken_by, [Some(7), Some(7), Some(7), None]);
    let told: Vec<_> = attacked.seen.iter().map(|seen| (seen.part, seen.margin, seen.iteration)).collect();
    // The last image withstood all; the second part came closest to it.
    assert_eq!(told, [(0, 0.5, Some(7)), (1, 0.3, Some(7)), (2, 0.4, Some(7)), (1, 0.3, None)]);
    assert_close(&pixels(&attacked.images), &[0.6, 0.7, 0.8, 0.5]);
}

#[test]
fn parts_draw_numbers_of_their_own() {
    let rng = keys(3, &[0]);
    assert_eq!(rng.of_part(0).seed, rng.seed);
    assert!(rng.of_part(1).seed != rng.of_part(2).seed && rng.of_part(1).seed != rng.seed);
}

#[test]
fn an_empty_batch_stays_empty() {
    let natural = images::<1>(&[]);
    let attacked = Ensemble::new(Vec::new()).perturb(&Formula::valley(1.0), Mode::Eval, &natural, &[], &keys(0, &[]));
    assert_eq!(attacked.unwrap().images.dims(), natural.dims());
}
