//! What colours, strokes and marks stand for, wrapped at the sheet's width.

use plotters::style::RGBColor;

use super::{
    MARGIN, ReportError, SMALL_SIZE, WIDTH,
    canvas::{Anchor, Canvas, Weight, text_width},
    marker::Marker,
};

const LINE: i32 = 20;
const SWATCH: i32 = 26;
const GAP: i32 = 6;
const BETWEEN: i32 = 18;

/// Something to be explained.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key {
    /// The area of a bar.
    Area(RGBColor),
    /// A line with its points' marks.
    Line(Marker),
    /// A stroke without a colour of its own.
    Stroke(Stroke, RGBColor),
    /// A mark alone.
    Mark(Marker),
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stroke {
    Solid,
    Dashed,
}

/// Keys with their texts and places.
pub(super) struct Legend {
    keys: Vec<(Key, String, (i32, i32))>,
    bottom: i32,
}

impl Legend {
    /// Places keys from left to right, beginning at `top`.
    pub(super) fn new(keys: Vec<(Key, String)>, top: i32) -> Self {
        let (mut x, mut y) = (MARGIN, top + LINE / 2);
        let mut placed = Vec::new();
        for (key, text) in keys {
            let width = SWATCH + GAP + text_width(&text, SMALL_SIZE, Weight::Normal);
            if x > MARGIN && x + width > WIDTH - MARGIN {
                (x, y) = (MARGIN, y + LINE);
            }
            placed.push((key, text, (x, y)));
            x += width + BETWEEN;
        }
        Self { keys: placed, bottom: y + LINE / 2 }
    }

    /// Where the figure may begin.
    pub(super) fn bottom(&self) -> i32 {
        self.bottom
    }

    pub(super) fn draw(&self, canvas: &Canvas<'_>) -> Result<(), ReportError> {
        for (key, text, (x, y)) in &self.keys {
            swatch(*key, (*x, *y), canvas)?;
            canvas.text(text, (x + SWATCH + GAP, *y), SMALL_SIZE, Anchor::Left, Weight::Normal)?;
        }
        Ok(())
    }
}

fn swatch(key: Key, (x, y): (i32, i32), canvas: &Canvas<'_>) -> Result<(), ReportError> {
    let ends = [(x, y), (x + SWATCH, y)];
    let middle = (x + SWATCH / 2, y);
    match key {
        Key::Area(color) => canvas.rectangle((x + 6, x + SWATCH - 6), (y - 6, y + 6), color),
        Key::Line(marker) => {
            canvas.line(ends, marker.color, 2)?;
            marker.draw(middle, canvas)
        }
        Key::Stroke(Stroke::Solid, color) => canvas.line(ends, color, 2),
        Key::Stroke(Stroke::Dashed, color) => canvas.dashed(&ends, color, 2),
        Key::Mark(marker) => marker.draw(middle, canvas),
    }
}
