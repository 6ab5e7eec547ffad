//! Several attacks in turn, each on the images that the ones before left (AutoAttack: Croce & Hein 2020).

use candle_core::{Result, Tensor};
use rrm_models::Model;
use rrm_spec::Mode;

use crate::{Attack, AttackRng, Attacked, Seen, attack::one_each, survivors::gather};

/// Attacks in their order.
pub struct Ensemble<'t> {
    parts: Vec<Box<dyn Attack + 't>>,
}

impl<'t> Ensemble<'t> {
    /// Of these attacks, in this order.
    pub fn new(parts: Vec<Box<dyn Attack + 't>>) -> Self {
        Self { parts }
    }
}

impl Attack for Ensemble<'_> {
    /// Hands back what the part that broke an image found, and the natural image where none did. `broken_by` counts that part's
    /// restarts, and `seen` names it.
    fn perturb(
        &self,
        victim: &dyn Model,
        mode: Mode,
        pixels: &Tensor,
        labels: &[u32],
        rng: &AttackRng<'_>,
    ) -> Result<Attacked> {
        one_each("labels", labels.len(), pixels)?;
        one_each("keys of randomness", rng.images.len(), pixels)?;
        let mut found = Found::nothing(pixels)?;
        for (number, part) in (0u32..).zip(&self.parts) {
            let rows = found.left();
            if rows.is_empty() {
                break;
            }
            let (keys, labels) = (gather(rng.images, &rows), gather(labels, &rows));
            let rng = AttackRng { images: &keys, ..rng.of_part(number) };
            let attacked = part.perturb(victim, mode, &rows_of(pixels, &rows)?, &labels, &rng)?;
            found.take(number, &rows, &attacked)?;
        }
        found.finish(pixels)
    }
}

/// What all parts so far found.
struct Found {
    images: Vec<Tensor>,
    broken_by: Vec<Option<u32>>,
    seen: Vec<Seen>,
}

impl Found {
    fn nothing(pixels: &Tensor) -> Result<Self> {
        let count = pixels.dim(0)?;
        let images = (0..count).map(|row| pixels.narrow(0, row, 1)).collect::<Result<_>>()?;
        Ok(Self { images, broken_by: vec![None; count], seen: vec![Seen::NOTHING; count] })
    }

    fn left(&self) -> Vec<usize> {
        (0..self.broken_by.len()).filter(|&row| self.broken_by[row].is_none()).collect()
    }

    fn take(&mut self, part: u32, rows: &[usize], attacked: &Attacked) -> Result<()> {
        for (position, &row) in rows.iter().enumerate() {
            self.seen[row].join_part(part, &attacked.seen[position], attacked.broken_by[position].is_some());
            if let Some(restart) = attacked.broken_by[position] {
                self.broken_by[row] = Some(restart);
                self.images[row] = attacked.images.narrow(0, position, 1)?;
            }
        }
        Ok(())
    }

    fn finish(self, pixels: &Tensor) -> Result<Attacked> {
        let images = if self.images.is_empty() { pixels.clone() } else { Tensor::cat(&self.images, 0)? };
        Ok(Attacked { images, broken_by: self.broken_by, seen: self.seen })
    }
}

fn rows_of(pixels: &Tensor, rows: &[usize]) -> Result<Tensor> {
    if rows.len() == pixels.dim(0)? {
        return Ok(pixels.clone());
    }
    let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
    pixels.index_select(&Tensor::new(rows, pixels.device())?, 0)
}
