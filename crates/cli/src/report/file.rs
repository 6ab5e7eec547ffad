//! Files that reports are written to.

use std::{fs, path::Path};

use crate::{
    arguments::TableFormat,
    exit::{Exit, Failure},
};

/// What a file's ending says of its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// A table, or the points of a figure.
    Table(TableFormat),
    /// The drawing of a figure.
    Drawing(DrawingFormat),
}

/// How a figure is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DrawingFormat {
    /// Lines and text, in the viewer's font.
    Svg,
    /// Pixels, in a font of this machine.
    Png,
}

impl Ending {
    pub(super) fn of(path: &Path) -> Result<Self, Failure> {
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("txt") => Ok(Self::Table(TableFormat::Text)),
            Some("md") => Ok(Self::Table(TableFormat::Markdown)),
            Some("csv") => Ok(Self::Table(TableFormat::Csv)),
            Some("tex") => Ok(Self::Table(TableFormat::Latex)),
            Some("json") => Ok(Self::Table(TableFormat::Json)),
            Some("svg") => Ok(Self::Drawing(DrawingFormat::Svg)),
            Some("png") => Ok(Self::Drawing(DrawingFormat::Png)),
            Some(_) | None => {
                let what = format!("--output {}: the ending says no format", path.display());
                Err(Failure::new(Exit::Invalid, what)
                    .next("use txt, md, csv, tex or json, and for a figure also svg or png"))
            }
        }
    }
}

impl DrawingFormat {
    /// PNG where the ending says so, and SVG in all other files.
    pub(super) fn of(path: &Path) -> Self {
        match Ending::of(path) {
            Ok(Ending::Drawing(format)) => format,
            Ok(Ending::Table(_)) | Err(_) => Self::Svg,
        }
    }
}

/// Complete or not at all: written beside its place and renamed.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let written = fs::write(&beside, content).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| Failure::file("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_ending_says_its_format() {
        let of = |name: &str| Ending::of(Path::new(name)).ok();
        assert_eq!(of("a/table1.tex"), Some(Ending::Table(TableFormat::Latex)));
        assert_eq!(of("FIG4.PNG"), Some(Ending::Drawing(DrawingFormat::Png)));
        assert_eq!((of("table1"), of("table1.pdf"), of(".svg")), (None, None, None));
    }

    #[test]
    fn an_unknown_ending_is_refused_with_those_that_are_known() {
        let failure = Ending::of(Path::new("fig4.pdf")).unwrap_err();
        assert_eq!(failure.exit(), Exit::Invalid);
        let text = failure.to_string();
        assert!(text.contains("fig4.pdf") && text.contains("svg or png"), "{text}");
    }

    #[test]
    fn a_drawing_of_any_other_ending_is_svg() {
        let formats = ["a.svg", "a.png", "a.xml", "a"].map(|name| DrawingFormat::of(Path::new(name)));
        assert_eq!(formats, [DrawingFormat::Svg, DrawingFormat::Png, DrawingFormat::Svg, DrawingFormat::Svg]);
    }

    #[test]
    fn a_report_that_cannot_be_written_leaves_no_piece() {
        let folder = tempfile::tempdir().unwrap();
        let failure = write(&folder.path().join("absent/report.md"), b"x").unwrap_err();
        assert!(failure.to_string().contains("report.md"), "{failure}");
        let path = folder.path().join("report.md");
        write(&path, b"whole").unwrap();
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["report.md"]);
    }
}
