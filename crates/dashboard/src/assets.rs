//! Files that are compiled in: the pages need nothing from elsewhere.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;

pub(crate) const STYLE: &str = include_str!("../assets/style.css");
pub(crate) const SCRIPT: &str = include_str!("../assets/live.js");
const ICON: &str = include_str!("../assets/icon.svg");

/// Asked for again with every page: after an upgrade no old style stays.
const CACHED: &str = "no-cache";

pub(crate) async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, CACHED)], STYLE)
}

pub(crate) async fn script() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, CACHED)], SCRIPT)
}

pub(crate) async fn icon() -> impl IntoResponse {
    ([(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, CACHED)], ICON)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2.2) of a colour such as `#1b2127`.
    fn luminance(colour: &str) -> f64 {
        let channel = |place: usize| {
            let value = f64::from(u8::from_str_radix(&colour[place..place + 2], 16).unwrap()) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// The colours of light, and those of dark.
    fn palettes() -> Vec<Vec<(&'static str, &'static str)>> {
        let blocks = STYLE.split(":root {").skip(1).map(|block| block.split('}').next().unwrap());
        let colours = |block: &'static str| {
            let lines =
                block.lines().filter_map(|line| line.trim().strip_prefix("--")?.strip_suffix(';')?.split_once(": "));
            lines.collect()
        };
        blocks.map(colours).collect()
    }

    #[test]
    fn text_states_and_curves_stand_out_from_their_backgrounds_in_light_and_dark() {
        let palettes = palettes();
        assert_eq!(palettes.len(), 2);
        for palette in palettes {
            let of = |name: &str| palette.iter().find(|(it, _)| *it == name).unwrap().1;
            let drawn: Vec<_> = palette.iter().filter(|(name, _)| !["page", "raised", "line"].contains(name)).collect();
            assert_eq!(drawn.len(), 15, "{drawn:?}");
            for (name, colour) in drawn {
                for background in ["page", "raised"] {
                    let contrast = contrast(colour, of(background));
                    assert!(contrast >= 4.5, "{name} {colour} on {background}: {contrast:.2}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        for file in [STYLE, SCRIPT] {
            for forbidden in ["http:", "https:", "url(", "@import", "eval("] {
                assert!(!file.contains(forbidden), "{forbidden}");
            }
        }
    }
}
