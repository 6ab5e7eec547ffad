//! The searches that never look at single images, with iterates that stay on a CUDA device.

use candle_core::{Result, Tensor, Var};

use super::search::{Candidate, Search};
use crate::{
    pixels::{Pixel, Pixels},
    victim::Verdict,
};

impl<T: Pixel> Search<'_, T> {
    /// [`Search::last_iterate`].
    pub(super) fn last_iterate_on_device(
        &self,
        start: &Pixels<T>,
        observe: &mut dyn FnMut(&Verdict),
    ) -> Result<Pixels<T>> {
        let last = self.walk(start, &mut |_, verdict| {
            observe(verdict);
            Ok(())
        })?;
        start.read_alike(&last)
    }

    /// [`Search::best_iterate`].
    pub(super) fn best_iterate_on_device(
        &self,
        start: &Pixels<T>,
        observe: &mut dyn FnMut(&Verdict),
    ) -> Result<Candidate<T>> {
        let mut best =
            Best { images: start.to_tensor(self.victim.model.device())?, verdict: Verdict::none(start.len()) };
        let last = self.walk(start, &mut |iterate, verdict| {
            observe(verdict);
            best.improve(iterate, verdict)
        })?;
        let verdict = self.victim.judge_tensor(&last, self.labels)?;
        observe(&verdict);
        best.improve(&last, &verdict)?;
        Ok(Candidate { images: start.read_alike(&best.images)?, verdict: best.verdict })
    }

    /// All steps from `start`; `visit` sees every iterate but the last, which is returned.
    fn walk(&self, start: &Pixels<T>, visit: &mut dyn FnMut(&Tensor, &Verdict) -> Result<()>) -> Result<Tensor> {
        let device = self.victim.model.device();
        let region = self.region.on_device(device)?;
        let mut iterate = start.to_tensor(device)?;
        for _ in 0..self.pgd.steps {
            let (verdict, gradient) = self.victim.gradient_in(&Var::from_tensor(&iterate)?, self.labels)?;
            visit(&iterate, &verdict)?;
            iterate = region.climb(&iterate, &gradient, self.pgd.step_size)?;
        }
        Ok(iterate)
    }
}

/// The best image of each row so far.
struct Best {
    images: Tensor,
    verdict: Verdict,
}

impl Best {
    /// Takes each image whose loss is strictly higher.
    fn improve(&mut self, images: &Tensor, verdict: &Verdict) -> Result<()> {
        let better = self.verdict.improve(verdict);
        let mut dims = vec![1; images.rank()];
        dims[0] = better.len();
        let better: Vec<u8> = better.into_iter().map(u8::from).collect();
        let mask = Tensor::from_vec(better, dims, images.device())?.broadcast_as(images.shape())?;
        self.images = mask.where_cond(images, &self.images)?;
        Ok(())
    }
}
