//! Drawings as pixels.

use std::{fmt, sync::Arc};

use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{
        Options, Tree,
        fontdb::{Database, Family, Query},
    },
};

use crate::exit::{Exit, Failure};

/// Pixels of the PNG per pixel of the SVG, so that it is sharp on dense screens and in print.
const SCALE: f32 = 2.0;

/// Fonts that drawings look well in, where the machine does not say which is its sans-serif one.
const SANS_SERIF: [&str; 6] = ["DejaVu Sans", "Liberation Sans", "Noto Sans", "Open Sans", "Arial", "Helvetica"];

/// The drawing in twice as many pixels each way, its text in the machine's sans-serif font.
///
/// # Errors
/// Where the machine has no font.
pub(super) fn png(svg: &str) -> Result<Vec<u8>, Failure> {
    let mut fonts = Database::new();
    fonts.load_system_fonts();
    rasterized(svg, with_sans_serif(fonts)?)
}

fn rasterized(svg: &str, fonts: Database) -> Result<Vec<u8>, Failure> {
    let options = Options { fontdb: Arc::new(fonts), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(refused)?;
    let size = tree.size();
    let [width, height] = [size.width(), size.height()].map(|length| (SCALE * length).ceil() as u32);
    let mut pixels = Pixmap::new(width, height).ok_or_else(|| refused(format!("{width} by {height} pixels")))?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(refused)
}

fn refused(error: impl fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("draw as PNG: {error}"))
}

/// The fonts, `sans-serif` among them.
///
/// Text without a font would be left out in silence.
fn with_sans_serif(mut fonts: Database) -> Result<Database, Failure> {
    let has = |family: Family<'_>| fonts.query(&Query { families: &[family], ..Query::default() }).is_some();
    if has(Family::SansSerif) {
        return Ok(fonts);
    }
    let preferred = SANS_SERIF.into_iter().find(|name| has(Family::Name(name))).map(str::to_owned);
    let any = || fonts.faces().find(|face| !face.monospaced).or_else(|| fonts.faces().next());
    let family = preferred.or_else(|| any().and_then(|face| Some(face.families.first()?.0.clone())));
    let family = family.ok_or_else(|| {
        Failure::new(Exit::Failed, "draw as PNG: this machine has no font to write the figure's text in")
            .next("install one, such as fonts-dejavu-core, or draw as SVG: that needs none")
    })?;
    fonts.set_sans_serif_family(family);
    Ok(fonts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SVG: &str = r##"<svg width="10" height="6" xmlns="http://www.w3.org/2000/svg"><rect width="10" height="6" fill="#0072B2"/></svg>"##;

    #[test]
    fn a_drawing_has_twice_as_many_pixels_each_way_and_its_colours() {
        let png = rasterized(SVG, Database::new()).unwrap();
        let image = image::load_from_memory_with_format(&png, image::ImageFormat::Png).unwrap().into_rgb8();
        assert_eq!(image.dimensions(), (20, 12));
        assert_eq!(image.get_pixel(7, 7).0, [0x00, 0x72, 0xB2]);
    }

    #[test]
    fn a_machine_without_fonts_is_told_so() {
        let failure = with_sans_serif(Database::new()).unwrap_err().to_string();
        assert!(failure.contains("no font") && failure.contains("SVG"), "{failure}");
    }

    #[test]
    fn what_is_no_drawing_is_refused() {
        assert!(rasterized("<svg", Database::new()).is_err());
    }
}
