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
        match ending(path).as_deref() {
            Some("txt") => Ok(Self::Table(TableFormat::Text)),
            Some("md") => Ok(Self::Table(TableFormat::Markdown)),
            Some("csv") => Ok(Self::Table(TableFormat::Csv)),
            Some("tex") => Ok(Self::Table(TableFormat::Latex)),
            Some("json") => Ok(Self::Table(TableFormat::Json)),
            Some(other) if let Some(format) = DrawingFormat::named(other) => Ok(Self::Drawing(format)),
            Some(_) | None => {
                let what = format!("--output {}: the ending says no format", path.display());
                Err(Failure::new(Exit::Invalid, what)
                    .next("use txt, md, csv, tex or json, and for a figure also svg or png"))
            }
        }
    }
}

impl DrawingFormat {
    /// What the ending of a file says that takes a drawing and nothing else.
    pub(super) fn of(path: &Path) -> Result<Self, Failure> {
        ending(path).as_deref().and_then(Self::named).ok_or_else(|| {
            let what = format!("--figure {}: the ending says no format of a drawing", path.display());
            Failure::new(Exit::Invalid, what).next("use svg or png")
        })
    }

    fn named(ending: &str) -> Option<Self> {
        match ending {
            "svg" => Some(Self::Svg),
            "png" => Some(Self::Png),
            _ => None,
        }
    }
}

fn ending(path: &Path) -> Option<String> {
    path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase)
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
    fn a_drawing_is_written_into_no_file_of_another_format() {
        let of = |name: &str| DrawingFormat::of(Path::new(name));
        assert_eq!([of("a.svg").unwrap(), of("A.PNG").unwrap()], [DrawingFormat::Svg, DrawingFormat::Png]);
        for name in ["a.pdf", "a.csv", "a", ".svg"] {
            let failure = of(name).unwrap_err();
            assert_eq!(failure.exit(), Exit::Invalid, "{name}");
            assert!(failure.to_string().contains("use svg or png"), "{failure}");
        }
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
