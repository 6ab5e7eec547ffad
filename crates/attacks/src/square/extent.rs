//! Where pixels lie in an image.

use candle_core::{Result, bail};

/// Extent of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

/// A square of pixels, the same in every channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) side: usize,
}

impl Extent {
    pub(super) fn of(image_dims: &[usize]) -> Result<Self> {
        let &[channels, height, width] = image_dims else {
            bail!("Square Attack takes images of channels, height and width, not {image_dims:?}");
        };
        if channels * height * width == 0 {
            bail!("Square Attack takes images with pixels, not {image_dims:?}");
        }
        Ok(Self { channels, height, width })
    }

    /// Numbers of an image.
    pub(super) fn count(self) -> usize {
        self.channels * self.height * self.width
    }

    /// Pixels of a channel.
    pub(super) fn area(self) -> usize {
        self.height * self.width
    }

    /// The longest side of a square.
    pub(super) fn longest(self) -> usize {
        self.height.min(self.width)
    }

    /// Where the numbers of a window lie in a channel, row by row; what lies outside the image is left out.
    pub(super) fn places(self, window: Window, channel: usize) -> impl Iterator<Item = (usize, usize)> {
        let rows = window.top..(window.top + window.side).min(self.height);
        let columns = window.left..(window.left + window.side).min(self.width);
        rows.flat_map(move |row| {
            columns.clone().map(move |column| {
                let in_window = (row - window.top) * window.side + column - window.left;
                (in_window, (channel * self.height + row) * self.width + column)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_run_row_by_row_and_end_at_the_border() {
        let extent = Extent { channels: 2, height: 3, width: 4 };
        let places = |top, left| extent.places(Window { top, left, side: 2 }, 1).collect::<Vec<_>>();
        assert_eq!(places(1, 1), [(0, 17), (1, 18), (2, 21), (3, 22)]);
        assert_eq!(places(2, 3), [(0, 23)]);
    }

    #[test]
    fn images_without_channel_height_and_width_are_refused() {
        assert!(Extent::of(&[3, 4]).is_err());
        assert!(Extent::of(&[3, 0, 4]).is_err());
        assert_eq!(Extent::of(&[2, 3, 4]).unwrap(), Extent { channels: 2, height: 3, width: 4 });
    }
}
