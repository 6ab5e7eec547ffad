//! The marks of points: a shape for each series, so that no one needs colours to tell them apart.

use plotters::style::{RGBColor, WHITE};

use super::{ReportError, canvas::Canvas};

const RADIUS: i32 = 5;

/// A point's mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marker {
    pub(super) shape: Shape,
    pub(super) color: RGBColor,
    pub(super) filling: Filling,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Disc,
    Square,
    Triangle,
    Diamond,
}

/// Whose point it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Filling {
    /// Ours.
    Full,
    /// The paper's.
    Hollow,
}

impl Shape {
    /// The shape of the series with that index.
    pub(super) fn of_series(index: usize) -> Self {
        [Self::Disc, Self::Square, Self::Triangle, Self::Diamond][index % 4]
    }
}

impl Marker {
    pub(super) fn draw(self, at: (i32, i32), canvas: &Canvas<'_>) -> Result<(), ReportError> {
        let fill = match self.filling {
            Filling::Full => self.color,
            Filling::Hollow => WHITE,
        };
        let corners: &[(i32, i32)] = match self.shape {
            Shape::Disc => return canvas.disc(at, RADIUS, fill, self.color),
            Shape::Square => &[(-1, -1), (1, -1), (1, 1), (-1, 1)],
            Shape::Triangle => &[(0, -1), (1, 1), (-1, 1)],
            Shape::Diamond => &[(0, -1), (1, 0), (0, 1), (-1, 0)],
        };
        // Shapes of the same extent look smaller the fewer corners fill it.
        let radius = match self.shape {
            Shape::Disc | Shape::Square => RADIUS,
            Shape::Triangle | Shape::Diamond => RADIUS + 1,
        };
        let corners: Vec<_> = corners.iter().map(|(x, y)| (at.0 + radius * x, at.1 + radius * y)).collect();
        canvas.polygon(&corners, fill, self.color)
    }
}
