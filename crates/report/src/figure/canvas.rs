//! Rectangles, lines and text in pixels. Nothing else knows the drawing library.

use plotters::{
    coord::Shift,
    prelude::{Circle, DrawingArea, IntoDrawingArea, PathElement, Polygon, Rectangle, SVGBackend, Text},
    style::{
        Color, FontStyle, IntoFont, RGBColor, ShapeStyle, TextStyle, WHITE,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::{ReportError, palette};

/// plotters writes a font of this size times the wanted pixels as the wanted pixels.
const PLOTTERS_FONT_SCALE: f64 = 1.24;
/// On which side of its point a text begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Left,
    Middle,
    Right,
}

/// How thick a text is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Weight {
    Normal,
    Bold,
}

impl Weight {
    /// Mean advance of a sans-serif letter, in font sizes: a guess on the safe side, since no font is measured.
    fn letter_width(self) -> f64 {
        match self {
            Self::Normal => 0.58,
            Self::Bold => 0.68,
        }
    }
}

/// A white sheet.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

impl<'a> Canvas<'a> {
    /// A sheet of `width` by `height` pixels whose SVG goes to `svg`.
    pub(super) fn new(svg: &'a mut String, (width, height): (i32, i32)) -> Result<Self, ReportError> {
        let area = SVGBackend::with_string(svg, (width as u32, height as u32)).into_drawing_area();
        area.fill(&WHITE).map_err(refused)?;
        Ok(Self { area })
    }

    /// Writes the end of the SVG.
    pub(super) fn finish(self) -> Result<(), ReportError> {
        self.area.present().map_err(refused)
    }

    pub(super) fn rectangle(
        &self,
        (x0, x1): (i32, i32),
        (y0, y1): (i32, i32),
        color: RGBColor,
    ) -> Result<(), ReportError> {
        self.area.draw(&Rectangle::new([(x0, y0), (x1, y1)], color.filled())).map_err(refused)
    }

    pub(super) fn line(&self, points: [(i32, i32); 2], color: RGBColor, width: u32) -> Result<(), ReportError> {
        let style = ShapeStyle::from(&color).stroke_width(width);
        self.area.draw(&PathElement::new(points.to_vec(), style)).map_err(refused)
    }

    /// A line of dashes and gaps, through all points.
    pub(super) fn dashed(&self, points: &[(i32, i32)], color: RGBColor, width: u32) -> Result<(), ReportError> {
        dashes(points).into_iter().try_for_each(|dash| self.line(dash, color, width))
    }

    /// A closed shape, filled and outlined.
    pub(super) fn polygon(&self, corners: &[(i32, i32)], fill: RGBColor, outline: RGBColor) -> Result<(), ReportError> {
        self.area.draw(&Polygon::new(corners.to_vec(), fill.filled())).map_err(refused)?;
        let closed: Vec<_> = corners.iter().chain(corners.first()).copied().collect();
        self.area.draw(&PathElement::new(closed, ShapeStyle::from(&outline).stroke_width(2))).map_err(refused)
    }

    /// A disc, filled and outlined.
    pub(super) fn disc(
        &self,
        at: (i32, i32),
        radius: i32,
        fill: RGBColor,
        outline: RGBColor,
    ) -> Result<(), ReportError> {
        self.area.draw(&Circle::new(at, radius, fill.filled())).map_err(refused)?;
        self.area.draw(&Circle::new(at, radius, ShapeStyle::from(&outline).stroke_width(2))).map_err(refused)
    }

    pub(super) fn hairline(&self, (x0, x1): (i32, i32), y: i32) -> Result<(), ReportError> {
        self.line([(x0, y), (x1, y)], palette::GRID, 1)
    }

    pub(super) fn text(
        &self,
        text: &str,
        at: (i32, i32),
        size: i32,
        anchor: Anchor,
        weight: Weight,
    ) -> Result<(), ReportError> {
        self.colored_text(text, at, size, anchor, weight, palette::INK)
    }

    pub(super) fn pale_text(&self, text: &str, at: (i32, i32), anchor: Anchor) -> Result<(), ReportError> {
        self.colored_text(text, at, super::SMALL_SIZE, anchor, Weight::Normal, palette::PALE_INK)
    }

    fn colored_text(
        &self,
        text: &str,
        at: (i32, i32),
        size: i32,
        anchor: Anchor,
        weight: Weight,
        color: RGBColor,
    ) -> Result<(), ReportError> {
        let horizontal = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let font = ("sans-serif", f64::from(size) * PLOTTERS_FONT_SCALE).into_font();
        let font = match weight {
            Weight::Normal => font,
            Weight::Bold => font.style(FontStyle::Bold),
        };
        let style = TextStyle::from(font).color(&color).pos(Pos::new(horizontal, VPos::Center));
        self.area.draw(&Text::new(printable(text), at, style)).map_err(refused)
    }
}

/// Pixels of a dash, and of the gap behind it.
const DASH: (f64, f64) = (7.0, 5.0);

/// Cuts the line through `points` into dashes; their rhythm goes on around corners.
fn dashes(points: &[(i32, i32)]) -> Vec<[(i32, i32); 2]> {
    let mut dashes = Vec::new();
    let mut walked = 0.0;
    for ends in points.windows(2) {
        let [from, to] = [ends[0], ends[1]].map(|(x, y)| (f64::from(x), f64::from(y)));
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let at = |distance: f64| {
            let share = distance / length;
            let between = |from: f64, to: f64| (from + share * (to - from)).round() as i32;
            (between(from.0, to.0), between(from.1, to.1))
        };
        let mut distance = 0.0;
        while distance < length {
            let phase = (walked + distance) % (DASH.0 + DASH.1);
            let (end, drawn) = match phase < DASH.0 {
                true => (distance + DASH.0 - phase, true),
                false => (distance + DASH.0 + DASH.1 - phase, false),
            };
            if drawn {
                dashes.push([at(distance), at(end.min(length))]);
            }
            distance = end;
        }
        walked += length;
    }
    dashes
}

/// XML has no way to write control characters.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn refused(error: impl std::fmt::Display) -> ReportError {
    ReportError::Drawing(error.to_string())
}

/// About how many pixels a text takes.
pub(super) fn text_width(text: &str, size: i32, weight: Weight) -> i32 {
    (text.chars().count() as f64 * f64::from(size) * weight.letter_width()).ceil() as i32
}

/// The text, cut with an ellipsis where it is wider than `width` pixels.
pub(super) fn truncated(text: &str, size: i32, weight: Weight, width: i32) -> String {
    if text_width(text, size, weight) <= width {
        return text.to_owned();
    }
    let letters = (f64::from(width) / (f64::from(size) * weight.letter_width())) as usize;
    let kept: String = text.chars().take(letters.saturating_sub(1)).collect();
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_as_much_of_a_line_as_they_should_and_stay_on_it() {
        let dashes = dashes(&[(0, 0), (60, 0), (60, 60)]);
        assert_eq!(dashes[..2], [[(0, 0), (7, 0)], [(12, 0), (19, 0)]]);
        assert_eq!(dashes.len(), 10, "{dashes:?}");
        assert!(dashes.iter().flatten().all(|&(x, y)| y == 0 || x == 60), "{dashes:?}");
        assert!(super::dashes(&[(3, 3), (3, 3)]).is_empty(), "a line of no length");
    }

    #[test]
    fn long_names_are_cut_and_short_ones_are_not() {
        assert_eq!(truncated("student", 14, Weight::Bold, 200), "student");
        let cut = truncated(&"x".repeat(200), 14, Weight::Bold, 200);
        assert!(cut.ends_with('…') && text_width(&cut, 14, Weight::Bold) <= 200, "{cut}");
    }
}
