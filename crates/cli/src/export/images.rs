//! `rrm export images`: what became of every image of an evaluation.

use std::{
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use rrm_spec::{JobDetail, JobId, JobKind, JobSpec, ModelSource};
use tempfile::NamedTempFile;
use tokio_stream::StreamExt;

use super::row::{HEADER, Heading};
use crate::{
    arguments::{ExportImagesArguments, RowFormat},
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
};

pub(super) async fn run(arguments: &ExportImagesArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let jobs = evaluations(arguments, daemon).await?;
    let mut rows = Rows::new(row_format(arguments, output)?, Sink::open(arguments.output.as_deref(), output)?);
    let mut images = 0;
    rows.begin()?;
    for id in jobs {
        let failed = |error| Failure::from(error).context(format!("export the images of job {id}"));
        let job = daemon.client.job(id).await.map_err(failed)?;
        let mut pages = daemon.client.images(id).await.map_err(failed)?;
        while let Some(page) = pages.next().await {
            let page = page.map_err(failed)?;
            let heading = Heading::new(&job, model(&job), &page.attack);
            images += page.images.len();
            rows.write(page.images.iter().map(|image| heading.row(image)))?;
        }
    }
    rows.end()?;
    if let Some(path) = &arguments.output {
        output.note(&format!("wrote {images} rows to {}", path.display()));
    }
    Ok(Exit::Done)
}

/// The evaluations that are named; of a whole plan those that there are.
async fn evaluations(arguments: &ExportImagesArguments, daemon: &Daemon) -> Result<Vec<JobId>, Failure> {
    let jobs = daemon.select_or_plan(&arguments.jobs, arguments.plan).await?;
    let evaluates = |kind| kind == JobKind::Evaluate;
    if let Some(other) = jobs.iter().find(|job| !arguments.jobs.is_empty() && !evaluates(job.kind)) {
        let what = format!("job {} is of kind {} and has no outcomes of images", other.id, other.kind);
        return Err(Failure::new(Exit::Invalid, what).next("name evaluations, or a plan's with --plan"));
    }
    let ids: Vec<JobId> = jobs.into_iter().filter(|job| evaluates(job.kind)).map(|job| job.id).collect();
    match ids.is_empty() {
        true => Err(Failure::new(Exit::NotFound, "the plan has no evaluation")),
        false => Ok(ids),
    }
}

fn row_format(arguments: &ExportImagesArguments, output: Output) -> Result<RowFormat, Failure> {
    match (output.format(), arguments.format) {
        (Format::Json, None | Some(RowFormat::Json)) => Ok(RowFormat::Json),
        (Format::Json, Some(RowFormat::Csv | RowFormat::Jsonl)) => {
            Err(Failure::new(Exit::Invalid, "--json and --format contradict each other"))
        }
        (Format::Human | Format::Ids, format) => Ok(format.unwrap_or(RowFormat::Csv)),
    }
}

fn model(job: &JobDetail) -> String {
    match &job.spec {
        JobSpec::Evaluate(spec) => match &spec.model {
            ModelSource::Job(job) => job.to_string(),
            ModelSource::Checkpoint(path) => path.display().to_string(),
            ModelSource::Artifact(artifact) => artifact.to_string(),
        },
        JobSpec::Train(_) | JobSpec::Synthesize(_) => String::new(),
    }
}

/// Where rows go.
enum Sink {
    Stdout(Output),
    /// A file beside its place, which is moved there when it is complete.
    File(BufWriter<NamedTempFile>, PathBuf),
}

impl Sink {
    fn open(path: Option<&Path>, output: Output) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::Stdout(output)) };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = NamedTempFile::new_in(folder).map_err(|error| Failure::file("write", path, &error))?;
        Ok(Self::File(BufWriter::new(file), path.to_owned()))
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        match self {
            Self::Stdout(output) => output.text(text),
            Self::File(file, path) => {
                file.write_all(text.as_bytes()).map_err(|error| Failure::file("write", path, &error))
            }
        }
    }

    fn close(self) -> Result<(), Failure> {
        let Self::File(file, path) = self else { return Ok(()) };
        let failed = |error| Failure::file("write", &path, &error);
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map(drop).map_err(|error| failed(error.error))
    }
}

/// Rows on their way out, a page at a time.
struct Rows {
    format: RowFormat,
    sink: Sink,
    /// Whether a row has been written.
    begun: bool,
}

impl Rows {
    fn new(format: RowFormat, sink: Sink) -> Self {
        Self { format, sink, begun: false }
    }

    fn begin(&mut self) -> Result<(), Failure> {
        match self.format {
            RowFormat::Csv => self.sink.write(&format!("{HEADER}\n")),
            RowFormat::Jsonl => Ok(()),
            // One document that is never whole in memory.
            RowFormat::Json => self.sink.write("{\"images\":["),
        }
    }

    fn write<'a>(&mut self, rows: impl Iterator<Item = super::row::Row<'a>>) -> Result<(), Failure> {
        let mut text = String::new();
        for row in rows {
            match self.format {
                RowFormat::Csv => text += &(row.csv() + "\n"),
                RowFormat::Jsonl => text += &(row.json() + "\n"),
                RowFormat::Json => text += &(if self.begun { ",\n" } else { "\n" }.to_owned() + &row.json()),
            }
            self.begun = true;
        }
        self.sink.write(&text)
    }

    fn end(mut self) -> Result<(), Failure> {
        match self.format {
            RowFormat::Csv | RowFormat::Jsonl => {}
            RowFormat::Json => self.sink.write("\n],\"schema\":1}\n")?,
        }
        self.sink.close()
    }
}
