//! Pooling over square windows of (N, C, H, W) images.

mod avg;
mod halving;
mod max;
mod overlapping;

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

pub use avg::avg_pool2d;
pub use max::{max_pool2d, relu_max_pool2d};

/// A pooling window and how it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Height and width of the window.
    pub kernel: usize,
    /// Pixels between two neighbouring windows, at least 1.
    pub stride: usize,
    /// Pixels added on each side, at most half the kernel.
    pub padding: usize,
}

/// Sizes of one pooling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolShape {
    pub(crate) images: usize,
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) config: PoolConfig,
}

impl PoolShape {
    fn new(x: &Tensor, config: PoolConfig) -> Result<Self> {
        let (images, channels, height, width) = x.dims4()?;
        let PoolConfig { kernel, stride, padding } = config;
        if kernel == 0 || stride == 0 || 2 * padding > kernel {
            bail!("pooling: kernel and stride must be positive, the padding at most half the kernel: {config:?}");
        }
        if height + 2 * padding < kernel || width + 2 * padding < kernel {
            bail!("pooling: no output for {height}x{width} images and {config:?}");
        }
        Ok(Self { images, channels, height, width, config })
    }

    pub(crate) fn out_height(&self) -> usize {
        (self.height + 2 * self.config.padding - self.config.kernel) / self.config.stride + 1
    }

    pub(crate) fn out_width(&self) -> usize {
        (self.width + 2 * self.config.padding - self.config.kernel) / self.config.stride + 1
    }

    fn out_dims(&self) -> (usize, usize, usize, usize) {
        (self.images, self.channels, self.out_height(), self.out_width())
    }

    pub(crate) fn in_dims(&self) -> (usize, usize, usize, usize) {
        (self.images, self.channels, self.height, self.width)
    }

    pub(crate) fn in_len(&self) -> usize {
        self.images * self.channels * self.in_plane()
    }

    pub(crate) fn out_len(&self) -> usize {
        self.images * self.channels * self.out_plane()
    }

    fn in_plane(&self) -> usize {
        self.height * self.width
    }

    fn out_plane(&self) -> usize {
        self.out_height() * self.out_width()
    }

    /// Calls `visit(output number, rows, columns)` for each window of a plane, clipped to the image.
    fn for_each_window(&self, mut visit: impl FnMut(usize, Range<usize>, Range<usize>)) {
        for oy in 0..self.out_height() {
            for ox in 0..self.out_width() {
                visit(oy * self.out_width() + ox, self.rows_of(oy), self.columns_of(ox));
            }
        }
    }

    /// Rows of the windows in row `oy` of the output, clipped to the image.
    fn rows_of(&self, oy: usize) -> Range<usize> {
        self.clipped(oy, self.height)
    }

    /// Columns of the windows in column `ox` of the output, clipped to the image.
    fn columns_of(&self, ox: usize) -> Range<usize> {
        self.clipped(ox, self.width)
    }

    fn clipped(&self, output: usize, size: usize) -> Range<usize> {
        let start = output * self.config.stride;
        start.saturating_sub(self.config.padding)..(start + self.config.kernel - self.config.padding).min(size)
    }
}
