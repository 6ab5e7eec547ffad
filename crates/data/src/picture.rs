//! Files of pictures: PNG or JPEG, decoded to RGB as Pillow's `convert("RGB")` gives it.

use std::{
    fs::File,
    io::{Cursor, Read},
    path::Path,
};

use image::{ImageFormat, ImageReader};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use crate::{DataError, Rect, Shape, resize::resize};

/// Pillow warns of pictures with more; ImageNet's largest has two thirds of it.
const MOST_PIXELS: usize = 89_478_485;

/// No sound picture of so many pixels is larger on disk.
const MOST_BYTES: u64 = 1 << 28;

/// A decoded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    height: usize,
    width: usize,
    /// H·W·3.
    rgb: Vec<u8>,
}

impl Picture {
    /// Decodes a file.
    ///
    /// # Errors
    /// Where it is no PNG or JPEG, is damaged, cut off, or too large.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let bytes = read_bytes(path)?;
        let end = bytes.len() as u64;
        match image::guess_format(&bytes) {
            Ok(ImageFormat::Jpeg) if !is_whole_jpeg(&bytes) => {
                Err(DataError::malformed(path, end, "the rest of a JPEG picture", "the file's end"))
            }
            // Decoders do not tell where they stopped, only that it was no later than at the end.
            Ok(ImageFormat::Jpeg) => {
                jpeg(&bytes).map_err(|fault| DataError::malformed(path, end, "the rest of a sound picture", fault))
            }
            Ok(ImageFormat::Png) => {
                png(&bytes).map_err(|fault| DataError::malformed(path, end, "the rest of a sound picture", fault))
            }
            _ => {
                let head: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
                Err(DataError::malformed(path, 0, "a PNG or JPEG picture", format!("bytes `{}`", head.join(" "))))
            }
        }
    }

    /// Rows of pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The rectangle `from`, resized to `to` (height, width), and of that the rectangle `window`, channel-major.
    ///
    /// # Panics
    /// Where a rectangle is empty or leaves its image.
    pub fn resized(&self, from: Rect, to: (usize, usize), window: Rect) -> Vec<u8> {
        planar(&resize::<3>(&self.rgb, self.width, from, to, window))
    }

    /// What networks are tested on: the shorter side resized by `resized_side` / `side`, and the middle `side` × `side`
    /// of that, channel-major; torchvision's `Resize(resized_side)` and `CenterCrop(side)`.
    ///
    /// # Panics
    /// Where `side` exceeds `resized_side`.
    pub fn middle(&self, resized_side: usize, side: usize) -> Vec<u8> {
        let long = |long: usize, short: usize| resized_side * long / short;
        let to @ (height, width) = match self.height <= self.width {
            true => (resized_side, long(self.width, self.height)),
            false => (long(self.height, self.width), resized_side),
        };
        self.resized(Rect::whole(self.height, self.width), to, Rect::middle(side, height, width))
    }

    /// The whole picture as an image of `shape`, without regard to the aspect ratio.
    pub(crate) fn squeezed(&self, shape: Shape) -> Vec<u8> {
        let (from, to) = (Rect::whole(self.height, self.width), Rect::whole(shape.height, shape.width));
        self.resized(from, (shape.height, shape.width), to)
    }
}

fn planar(rgb: &[u8]) -> Vec<u8> {
    let plane = rgb.len() / 3;
    let mut pixels = vec![0; rgb.len()];
    let (red, rest) = pixels.split_at_mut(plane);
    let (green, blue) = rest.split_at_mut(plane);
    for (((pixel, red), green), blue) in rgb.chunks_exact(3).zip(red).zip(green).zip(blue) {
        (*red, *green, *blue) = (pixel[0], pixel[1], pixel[2]);
    }
    pixels
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut file = File::open(path).map_err(DataError::io(path))?;
    let length = file.metadata().map_err(DataError::io(path))?.len();
    if length > MOST_BYTES {
        let found = format!("a file of {length} bytes");
        return Err(DataError::malformed(path, MOST_BYTES, format!("a picture of at most {MOST_BYTES} bytes"), found));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.read_to_end(&mut bytes).map_err(DataError::io(path))?;
    Ok(bytes)
}

fn jpeg(bytes: &[u8]) -> Result<Picture, String> {
    let options = DecoderOptions::default().set_strict_mode(false).set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions().ok_or("no size")?;
    must_fit(height, width)?;
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let wanted = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(wanted));
    let pixels = decoder.decode().map_err(|error| error.to_string())?;
    let rgb = if grey { pixels.iter().flat_map(|&value| [value; 3]).collect() } else { pixels };
    whole(height, width, rgb)
}

fn png(bytes: &[u8]) -> Result<Picture, String> {
    let reader = || ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    let (width, height) = reader().into_dimensions().map_err(|error| error.to_string())?;
    must_fit(height as usize, width as usize)?;
    let rgb = reader().decode().map_err(|error| error.to_string())?.into_rgb8();
    whole(height as usize, width as usize, rgb.into_raw())
}

/// Before any memory is asked for.
fn must_fit(height: usize, width: usize) -> Result<(), String> {
    match height * width {
        0 => Err(format!("a picture of {width}×{height} pixels")),
        1..=MOST_PIXELS => Ok(()),
        _ => Err(format!("a picture of {width}×{height} pixels, more than {MOST_PIXELS}")),
    }
}

fn whole(height: usize, width: usize, rgb: Vec<u8>) -> Result<Picture, String> {
    if rgb.len() != height * width * 3 {
        return Err(format!("{} values in {width}×{height} pixels", rgb.len()));
    }
    Ok(Picture { height, width, rgb })
}

/// Whether the last scan has an end. The decoder itself takes the missing rows of a picture that was cut off for grey.
///
/// Neither marker occurs within a scan, whose bytes of 0xff are followed by 0 or by a restart marker.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    const START_OF_SCAN: [u8; 2] = [0xff, 0xda];
    const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    last(END_OF_IMAGE) > last(START_OF_SCAN)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage, codecs::jpeg::JpegEncoder};
    use proptest::prelude::*;

    use super::*;

    fn noise(width: u32, height: u32) -> RgbImage {
        let mut rng = crate::ImageRng::new(1, crate::Stream::Validation, &[]);
        RgbImage::from_fn(width, height, |_, _| Rgb([0; 3].map(|_: u8| rng.below(256) as u8)))
    }

    fn jpeg_bytes() -> Vec<u8> {
        let (mut bytes, picture) = (Vec::new(), noise(40, 24));
        JpegEncoder::new(&mut bytes).write_image(&picture, 40, 24, ExtendedColorType::Rgb8).unwrap();
        bytes
    }

    fn png_bytes() -> Vec<u8> {
        let mut bytes = Vec::new();
        noise(40, 24).write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Picture, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture");
        fs::write(&path, bytes).unwrap();
        Picture::read(&path)
    }

    fn message(bytes: &[u8]) -> String {
        read(bytes).unwrap_err().to_string()
    }

    #[test]
    fn pixels_of_a_png_are_those_that_were_saved() {
        let picture = read(&png_bytes()).unwrap();
        assert_eq!((picture.height(), picture.width()), (24, 40));
        assert_eq!(picture.rgb, noise(40, 24).into_raw());
        let whole = picture.squeezed(Shape { channels: 3, height: 24, width: 40 });
        assert_eq!((whole[1], whole[24 * 40 + 1]), (picture.rgb[3], picture.rgb[4]));
    }

    #[test]
    fn the_middle_keeps_the_aspect_ratio() {
        // A white bar in the middle of black.
        let bar = RgbImage::from_fn(80, 40, |x, _| Rgb([if (38..42).contains(&x) { 255 } else { 0 }; 3]));
        let mut bytes = Vec::new();
        bar.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        let middle = read(&bytes).unwrap().middle(20, 10);
        assert_eq!(middle.len(), 300);
        // Half the size: weights of 1, 3, 3 and 1 eighths.
        assert_eq!(middle[..10], [0, 0, 0, 32, 223, 223, 32, 0, 0, 0]);
    }

    #[test]
    fn a_picture_that_is_cut_off_anywhere_is_refused() {
        for whole in [jpeg_bytes(), png_bytes()] {
            assert!(read(&whole).is_ok());
            for length in (0..whole.len() - 12).step_by(5) {
                assert!(message(&whole[..length]).contains("picture at byte"), "{length} of {}", whole.len());
            }
        }
    }

    #[test]
    fn a_header_that_claims_too_much_is_refused_before_memory_is_asked_for() {
        let mut jpeg = jpeg_bytes();
        let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        jpeg[frame + 5..frame + 9].fill(0xff);
        assert!(message(&jpeg).contains("65535×65535 pixels, more than 89478485"), "{}", message(&jpeg));
        let mut png = png_bytes();
        png[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        assert!(!message(&png).is_empty());
    }

    #[test]
    fn other_files_are_told_by_their_first_bytes() {
        assert!(message(b"GIF89a").contains("at byte 0: expected a PNG or JPEG picture, found bytes `47 49 46 38`"));
        assert!(message(b"").contains("found bytes ``"));
    }

    proptest! {
        #[test]
        fn a_damaged_picture_is_refused_or_decoded_to_its_size(at in 0usize..4000, value: u8, png: bool) {
            let mut bytes = if png { png_bytes() } else { jpeg_bytes() };
            let at = at % bytes.len();
            bytes[at] = value;
            if let Ok(picture) = read(&bytes) {
                prop_assert_eq!(picture.rgb.len(), picture.height * picture.width * 3);
            }
        }
    }
}
