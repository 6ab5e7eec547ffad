//! Colours that people with any kind of colour vision can tell apart (Okabe & Ito 2008).

use plotters::style::RGBColor;

pub(super) const SKY_BLUE: RGBColor = RGBColor(86, 180, 233);
pub(super) const VERMILLION: RGBColor = RGBColor(213, 94, 0);
pub(super) const BLUISH_GREEN: RGBColor = RGBColor(0, 158, 115);
/// The same, for what was not run.
pub(super) const PALE_GREEN: RGBColor = RGBColor(178, 223, 211);
pub(super) const ORANGE: RGBColor = RGBColor(230, 159, 0);
const REDDISH_PURPLE: RGBColor = RGBColor(204, 121, 167);
const BLUE: RGBColor = RGBColor(0, 114, 178);

/// Text and whiskers.
pub(super) const INK: RGBColor = RGBColor(33, 33, 33);
/// Axis labels and what is said of missing bars.
pub(super) const PALE_INK: RGBColor = RGBColor(90, 90, 90);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(225, 225, 225);

/// Natural accuracy.
pub(super) const NATURAL: RGBColor = SKY_BLUE;

/// The colour of the attack with that index.
pub(super) fn attack(index: usize) -> RGBColor {
    [VERMILLION, REDDISH_PURPLE, BLUE][index % 3]
}

/// The colour of the line or group of bars with that index.
pub(super) fn series(index: usize) -> RGBColor {
    [BLUE, VERMILLION, BLUISH_GREEN, REDDISH_PURPLE, ORANGE, SKY_BLUE][index % 6]
}
