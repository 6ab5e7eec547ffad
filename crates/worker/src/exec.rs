//! One job in this process: the only file that runs `rrm-train`.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::ExitCode,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use clap::Args;
use nix::sys::prctl;
use rrm_spec::{Device, Event, InputName, JobSpec};
pub(crate) use rrm_train::CODE_VERSION;
use rrm_train::{Completion, Environment, TrainError, open_device};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use crate::{
    child::NAME,
    cli::{USAGE, complain},
    places::Places,
};

const EXAMPLES: &str = "\
Examples:
  rrm-worker exec < job.json
      trains or evaluates on the processor; checkpoints go to the current folder
  rrm-worker exec --device cuda:0 --input 12=teacher.safetensors < student.json
      with the network that the job calls #12
  rrm-worker exec --resume resume.safetensors < job.json
      goes on from a checkpoint, to the same end

SIGTERM or SIGINT: stops at the next step; a second one ends the process at once.";

/// How a stopped job's process ends.
const STOPPED: u8 = 3;

/// Flags of `exec`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExecArgs {
    /// Device to compute on: cpu or cuda:N
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: Device,
    /// Threads of the CPU kernels [default: the processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Folder with the datasets [default: ~/.local/share/rrm]
    #[arg(long, env = "RRM_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Folder that checkpoints are written to
    #[arg(long, default_value = ".", value_name = "DIR")]
    work_dir: PathBuf,
    /// File with the weights of a network, or the images, that the spec refers to, by its job's number or as sha256:HASH; may be
    /// repeated
    #[arg(long = "input", value_name = "NAME=PATH")]
    inputs: Vec<Input>,
    /// Checkpoint to go on from
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Read the spec from the first line alone, and end when standard input closes: no job outlives its supervisor
    #[arg(long)]
    supervised: bool,
    /// Only find out whether the device can be used
    #[arg(long)]
    probe_device: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Input {
    name: InputName,
    path: PathBuf,
}

impl FromStr for Input {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, path) = text.split_once('=').ok_or("expected NAME=PATH, such as 12=teacher.safetensors")?;
        let name = name.parse().map_err(|e: rrm_spec::ParseIdError| e.to_string())?;
        Ok(Self { name, path: path.into() })
    }
}

/// `rrm-worker exec`.
pub(crate) fn main(args: ExecArgs) -> ExitCode {
    if args.supervised
        && let Err(error) = prctl::set_name(NAME)
    {
        tracing::debug!(%error, "goes by another name in lists of processes");
    }
    if args.probe_device {
        return probe(args.device);
    }
    let spec = match read_spec(args.supervised) {
        Ok(spec) => spec,
        Err(why) => {
            complain(format_args!("the job on standard input is faulty: {why}"));
            return ExitCode::from(USAGE);
        }
    };
    let mut events = Events { output: io::stdout().lock(), stop: Arc::default() };
    if let Err(error) = heed_signals(&events.stop) {
        complain(format_args!("cannot listen to signals: {error}"));
        return ExitCode::FAILURE;
    }
    rrm_kernels::keep_freed_memory();
    rrm_kernels::set_threads(args.threads.map_or_else(processors, |threads| threads as usize));
    let completion = run(&spec, args, &mut events);
    events.finish(completion)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn probe(device: Device) -> ExitCode {
    match open_device(device) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            complain(error);
            ExitCode::FAILURE
        }
    }
}

/// The job: all of standard input, or its first line where the rest is the supervisor's sign of life.
fn read_spec(supervised: bool) -> Result<JobSpec, String> {
    let mut text = String::new();
    if supervised {
        let mut input = BufReader::new(io::stdin());
        input.read_line(&mut text).map_err(|e| e.to_string())?;
        std::thread::spawn(move || end_with(input));
    } else {
        io::stdin().read_to_string(&mut text).map_err(|e| e.to_string())?;
    }
    rrm_spec::read_job(&text).map_err(|faults| faults.to_string())
}

/// Ends this process when the input does: whoever held it open is gone, and a job without a supervisor only holds a
/// device.
fn end_with(mut input: impl Read) {
    // An error is an end, too.
    let _ = io::copy(&mut input, &mut io::sink());
    tracing::warn!("the supervisor is gone");
    std::process::exit(1);
}

/// The first signal asks the job to stop; a second one ends the process.
fn heed_signals(stop: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGTERM, SIGINT] {
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(stop))?;
        flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}

fn run(spec: &JobSpec, args: ExecArgs, events: &mut Events<impl Write>) -> Result<Completion, Box<TrainError>> {
    let (mut inputs, mut artifacts) = (HashMap::new(), HashMap::new());
    for Input { name, path } in args.inputs {
        match name {
            InputName::Job(job) => drop(inputs.insert(job, path)),
            InputName::Artifact(sha256) => drop(artifacts.insert(sha256, path)),
        }
    }
    let environment = Environment {
        device: open_device(args.device)?,
        data_dir: args.data_dir.unwrap_or_else(|| Places::of_user().data_dir()),
        work_dir: args.work_dir,
        inputs,
        artifacts,
        resume: args.resume,
        stop: Arc::clone(&events.stop),
    };
    Ok(rrm_train::run(spec, &environment, &mut |event| events.tell(&event))?)
}

/// Standard output as a stream of events.
struct Events<W> {
    output: W,
    stop: Arc<AtomicBool>,
}

impl<W: Write> Events<W> {
    /// Writes one line and flushes it. Where nobody reads any more the job stops: its results would be lost.
    fn tell(&mut self, event: &Event) {
        let mut line = serde_json::to_vec(event).expect("events are plain values");
        line.push(b'\n');
        if let Err(error) = self.output.write_all(&line).and_then(|()| self.output.flush()) {
            tracing::error!(%error, "nobody reads the events; stopping");
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    /// The last word, and the exit code that goes with it.
    fn finish(mut self, completion: Result<Completion, Box<TrainError>>) -> ExitCode {
        let (event, code) = match completion {
            Ok(Completion::Finished) => (Event::Finished, ExitCode::SUCCESS),
            Ok(Completion::Stopped) => (Event::Stopped, ExitCode::from(STOPPED)),
            Err(error) => {
                complain(&error);
                (Event::Failed { class: error.class(), message: error.to_string() }, ExitCode::FAILURE)
            }
        };
        self.tell(&event);
        code
    }
}

#[cfg(test)]
mod tests {
    use rrm_spec::JobId;

    use super::*;

    fn events<W: Write>(output: W) -> Events<W> {
        Events { output, stop: Arc::default() }
    }

    #[test]
    fn an_input_names_job_or_hash_and_path() {
        let hash = "0f".repeat(32);
        let artifact = Input { name: InputName::Artifact(hash.parse().unwrap()), path: "a=b".into() };
        assert_eq!(format!("sha256:{hash}=a=b").parse(), Ok(artifact));
        let input = Input { name: InputName::Job(JobId(12)), path: "a=b.safetensors".into() };
        assert_eq!("12=a=b.safetensors".parse(), Ok(input.clone()));
        assert_eq!("#12=a=b.safetensors".parse(), Ok(input));
        assert!("teacher.safetensors".parse::<Input>().is_err());
        assert!("x=y".parse::<Input>().is_err());
    }

    #[test]
    fn an_event_is_a_line() {
        let mut output = Vec::new();
        events(&mut output).tell(&Event::Stopped);
        assert_eq!(output, b"{\"event\":\"stopped\"}\n");
    }

    /// A pipe whose reader is gone.
    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_job_stops_when_nobody_reads_its_events() {
        let mut events = events(Broken);
        events.tell(&Event::Finished);
        assert!(events.stop.load(Ordering::Relaxed));
    }
}
