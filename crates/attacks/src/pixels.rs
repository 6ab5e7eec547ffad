//! Batches of images as plain numbers on the host, where attacks keep their books.
//!
//! Between two gradients an attack does a few operations per pixel and some per image. On slices these are one pass
//! over the numbers, without a temporary tensor for each operation; the copies from and to tensors cost well under a
//! hundredth of the gradient that lies between them.

use std::ops::Range;

use candle_core::{Device, Result, Tensor, Var, WithDType, bail};
use rayon::prelude::*;

/// The number types that attacks work in.
pub(crate) trait Pixel: WithDType {
    /// `value` of [0, 1] in this type. Where it has no exact form the neighbour on the side of `anchor` is taken, so
    /// that rounding never leads out of a ball around `anchor`.
    fn rounded_towards(value: f64, anchor: f64) -> Self;
}

impl Pixel for f64 {
    fn rounded_towards(value: f64, _: f64) -> Self {
        value
    }
}

impl Pixel for f32 {
    fn rounded_towards(value: f64, anchor: f64) -> Self {
        let nearest = value as f32;
        let widened = f64::from(nearest);
        let above = value > anchor && widened > value;
        let below = value < anchor && widened < value;
        // Neighbours of numbers that are not negative lie one bit pattern apart.
        Self::from_bits(nearest.to_bits().wrapping_sub(u32::from(above)).wrapping_add(u32::from(below)))
    }
}

/// Runs `$body` with the type alias `$T` set to the number type of `$tensor`, or fails where attacks have none.
macro_rules! by_pixel {
    ($tensor:expr, $T:ident => $body:expr) => {
        match $tensor.dtype() {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            other => candle_core::bail!("attacks work on images of f32 or f64, not of {other:?}"),
        }
    };
}
pub(crate) use by_pixel;

/// A batch of images, (N, ...) in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pixels<T> {
    numbers: Vec<T>,
    /// Extent of one image in every direction.
    image_dims: Vec<usize>,
    images: usize,
}

impl<T: Pixel> Pixels<T> {
    /// Reads a tensor (N, ...) of any device.
    pub(crate) fn read(tensor: &Tensor) -> Result<Self> {
        let [images, image_dims @ ..] = tensor.dims() else { bail!("a batch of images has at least one dimension") };
        Ok(Self { numbers: tensor.flatten_all()?.to_vec1()?, image_dims: image_dims.to_vec(), images: *images })
    }

    /// Reads a tensor that must have as many images of the same extent as `self`.
    pub(crate) fn read_alike(&self, tensor: &Tensor) -> Result<Self> {
        let read = Self::read(tensor)?;
        if (read.images, &read.image_dims) != (self.images, &self.image_dims) {
            bail!("images of shape {:?} were expected, not {:?}", self.dims(), tensor.dims());
        }
        Ok(read)
    }

    pub(crate) fn to_tensor(&self, device: &Device) -> Result<Tensor> {
        Tensor::from_vec(self.numbers.clone(), self.dims(), device)
    }

    /// A variable, so that a gradient can be taken in it.
    pub(crate) fn to_var(&self, device: &Device) -> Result<Var> {
        Var::from_vec(self.numbers.clone(), self.dims(), device)
    }

    fn dims(&self) -> Vec<usize> {
        [&[self.images], self.image_dims.as_slice()].concat()
    }

    /// Extent of one image in every direction.
    pub(crate) fn image_dims(&self) -> &[usize] {
        &self.image_dims
    }

    /// A batch of other images of the same extent.
    pub(crate) fn with_images(&self, images: &[Vec<T>]) -> Self {
        Self { numbers: images.concat(), image_dims: self.image_dims.clone(), images: images.len() }
    }

    /// Images in the batch.
    pub(crate) fn len(&self) -> usize {
        self.images
    }

    fn range(&self, row: usize) -> Range<usize> {
        let length = self.image_dims.iter().product::<usize>();
        row * length..(row + 1) * length
    }

    /// The numbers of one image.
    pub(crate) fn image(&self, row: usize) -> &[T] {
        &self.numbers[self.range(row)]
    }

    /// Overwrites one image.
    pub(crate) fn replace(&mut self, row: usize, image: &[T]) {
        let range = self.range(row);
        self.numbers[range].copy_from_slice(image);
    }

    /// A batch of some of the images, in the order of `rows`.
    pub(crate) fn gather(&self, rows: &[usize]) -> Self {
        let numbers = rows.iter().flat_map(|&row| self.image(row)).copied().collect();
        Self { numbers, image_dims: self.image_dims.clone(), images: rows.len() }
    }

    /// Changes every image, given its row; on all threads.
    pub(crate) fn par_images_mut(&mut self, change: impl Fn(usize, &mut [T]) + Sync) {
        let chunk = self.chunk();
        self.numbers.par_chunks_mut(chunk).enumerate().for_each(|(row, image)| change(row, image));
    }

    /// Changes every image together with that of another batch in the same row; on all threads.
    pub(crate) fn par_images_mut_with(&mut self, other: &mut Self, change: impl Fn(usize, &mut [T], &mut [T]) + Sync) {
        let chunk = self.chunk();
        let both = self.numbers.par_chunks_mut(chunk).zip(other.numbers.par_chunks_mut(chunk));
        both.enumerate().for_each(|(row, (image, other))| change(row, image, other));
    }

    /// Numbers of an image; 1 for images without pixels, of which there is then nothing to visit.
    fn chunk(&self) -> usize {
        self.image_dims.iter().product::<usize>().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_never_leads_away_from_the_anchor() {
        for (value, anchor) in [(0.1, 0.0), (0.1, 1.0), (0.7, 0.5), (0.7, 0.9), (1.0 / 3.0, 0.0), (1.0 / 3.0, 1.0)] {
            let rounded = f64::from(f32::rounded_towards(value, anchor));
            assert!((rounded - anchor).abs() <= (value - anchor).abs(), "{value} {anchor}");
            assert!((rounded - value).abs() < 6e-8, "{value} {anchor}");
        }
        assert_eq!(f32::rounded_towards(0.5, 0.25), 0.5);
        assert_eq!(f32::rounded_towards(0.0, 0.25), 0.0);
    }

    #[test]
    fn gathering_takes_rows_in_the_order_asked_for() {
        let pixels = Pixels::<f64>::read(&Tensor::new(&[[0.0f64, 1.0], [2.0, 3.0], [4.0, 5.0]], &Device::Cpu).unwrap());
        let gathered = pixels.unwrap().gather(&[2, 0]);
        assert_eq!((gathered.len(), gathered.image(0), gathered.image(1)), (2, &[4.0, 5.0][..], &[0.0, 1.0][..]));
    }
}
