//! What both panels have around their bars: title, keys, grid.

use plotters::style::RGBColor;

use super::{
    ReportError, SMALL_SIZE,
    canvas::{Anchor, Canvas, Weight, text_width},
    palette,
    scale::{Scale, tick_label},
};

const TITLE_Y: i32 = 46;
const FIRST_KEY_Y: i32 = 67;
const KEY_LINE: i32 = 18;
const SQUARE: i32 = 11;

/// A panel's title, and what its colours stand for, wrapped at the panel's width.
pub(super) struct Frame {
    title: String,
    scale: Scale,
    keys: Vec<Key>,
}

struct Key {
    color: RGBColor,
    text: String,
    x: i32,
    line: i32,
}

impl Frame {
    pub(super) fn new(title: String, scale: Scale, keys: Vec<(RGBColor, String)>) -> Self {
        let (left, right) = scale.pixels;
        let (mut x, mut line) = (left, 0);
        let place = |(color, text): (RGBColor, String)| {
            let width = SQUARE + 5 + text_width(&text, SMALL_SIZE, Weight::Normal);
            if x > left && x + width > right {
                (x, line) = (left, line + 1);
            }
            let key = Key { color, text, x, line };
            x += width + 10;
            key
        };
        let keys = keys.into_iter().map(place).collect();
        Self { title, scale, keys }
    }

    /// Where the rows may begin.
    pub(super) fn bottom_of_keys(&self) -> i32 {
        FIRST_KEY_Y + KEY_LINE * self.keys.last().map_or(0, |key| key.line) + 14
    }

    /// Draws it, with the grid between `top` and `bottom` and tick labels below.
    pub(super) fn draw(&self, canvas: &Canvas<'_>, top: i32, bottom: i32) -> Result<(), ReportError> {
        canvas.text(&self.title, (self.scale.pixels.0, TITLE_Y), 14, Anchor::Left, Weight::Bold)?;
        for key in &self.keys {
            let y = FIRST_KEY_Y + key.line * KEY_LINE;
            canvas.rectangle((key.x, key.x + SQUARE), (y - SQUARE / 2, y + SQUARE / 2 + 1), key.color)?;
            canvas.text(&key.text, (key.x + SQUARE + 5, y), SMALL_SIZE, Anchor::Left, Weight::Normal)?;
        }
        for tick in self.scale.ticks() {
            let x = self.scale.pixel(tick);
            canvas.line([(x, top), (x, bottom)], palette::GRID, 1)?;
            canvas.pale_text(&tick_label(tick), (x, bottom + 12), Anchor::Middle)?;
        }
        Ok(())
    }
}
