//! Rectangles, lines and text in pixels. Nothing else knows the drawing library.

use plotters::{
    coord::Shift,
    prelude::{DrawingArea, IntoDrawingArea, PathElement, Rectangle, SVGBackend, Text},
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
    fn long_names_are_cut_and_short_ones_are_not() {
        assert_eq!(truncated("student", 14, Weight::Bold, 200), "student");
        let cut = truncated(&"x".repeat(200), 14, Weight::Bold, 200);
        assert!(cut.ends_with('…') && text_width(&cut, 14, Weight::Bold) <= 200, "{cut}");
    }
}
