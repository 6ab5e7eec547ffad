//! Sizes of one convolution.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

use super::Conv2dConfig;

/// Sizes of one convolution: images (N, C, H, W), square kernels (O, C, k, k).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConvShape {
    pub(crate) images: usize,
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

impl ConvShape {
    /// Checks that `x` and `weight` fit together.
    pub(crate) fn new(x: &Tensor, weight: &Tensor, config: Conv2dConfig) -> Result<Self> {
        let (images, in_channels, height, width) = x.dims4()?;
        let (out_channels, weight_channels, kernel, kernel_width) = weight.dims4()?;
        let Conv2dConfig { stride, padding } = config;
        if in_channels != weight_channels {
            bail!("conv2d: the input has {in_channels} channels, the weight expects {weight_channels}");
        }
        if kernel != kernel_width {
            bail!("conv2d: the kernel must be square, not {kernel}x{kernel_width}");
        }
        if stride == 0 || height + 2 * padding < kernel || width + 2 * padding < kernel {
            bail!("conv2d: no output for {height}x{width} images, kernel {kernel}, {config:?}");
        }
        Ok(Self { images, in_channels, out_channels, height, width, kernel, stride, padding })
    }

    /// Height of the output.
    pub(crate) fn out_height(&self) -> usize {
        (self.height + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Width of the output.
    pub(crate) fn out_width(&self) -> usize {
        (self.width + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// A fully connected layer, as a convolution of `images` images with one pixel.
    pub(crate) fn of_pixels(images: usize, in_channels: usize, out_channels: usize) -> Self {
        Self { images, in_channels, out_channels, height: 1, width: 1, kernel: 1, stride: 1, padding: 0 }
    }

    /// Dimensions of the output.
    pub(crate) fn out_dims(&self) -> (usize, usize, usize, usize) {
        (self.images, self.out_channels, self.out_height(), self.out_width())
    }

    /// Numbers in one channel of one input image.
    pub(crate) fn in_plane(&self) -> usize {
        self.height * self.width
    }

    /// Numbers in one channel of one output image.
    pub(crate) fn out_plane(&self) -> usize {
        self.out_height() * self.out_width()
    }

    /// Numbers in one kernel window of one channel.
    pub(crate) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Numbers in the output.
    pub(crate) fn out_len(&self) -> usize {
        self.images * self.out_channels * self.out_plane()
    }

    /// Numbers in the input.
    pub(crate) fn in_len(&self) -> usize {
        self.images * self.in_channels * self.in_plane()
    }

    /// Numbers in the weight.
    pub(crate) fn weight_len(&self) -> usize {
        self.out_channels * self.in_channels * self.taps()
    }

    /// Output columns whose tap `kx` falls inside the image; outside lies zero padding.
    pub(crate) fn columns_inside(&self, kx: usize) -> Range<usize> {
        inside(self.out_width(), self.width, kx, self.stride, self.padding)
    }

    /// Output rows whose tap `ky` falls inside the image.
    pub(crate) fn rows_inside(&self, ky: usize) -> Range<usize> {
        inside(self.out_height(), self.height, ky, self.stride, self.padding)
    }
}

/// Outputs `o` of `outputs` with `0 <= o * stride + tap - padding < inputs`.
pub(crate) fn inside(outputs: usize, inputs: usize, tap: usize, stride: usize, padding: usize) -> Range<usize> {
    let first = padding.saturating_sub(tap).div_ceil(stride);
    let end = (inputs + padding).saturating_sub(tap).div_ceil(stride).min(outputs);
    first.min(end)..end
}
