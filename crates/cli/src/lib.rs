#![doc = include_str!("../README.md")]

mod admin;
mod arguments;
mod cancel;
mod change;
mod columns;
mod completion;
mod daemon;
mod data;
mod doctor;
mod drain;
mod eta;
mod exit;
mod explain;
mod export;
mod folders;
mod list;
mod logs;
mod manual;
mod model;
mod output;
mod preempt;
mod recipe;
mod report;
mod request;
mod retry;
mod selector;
mod show;
mod submit;
mod summary;
mod suspicion;
mod time;
mod top;
mod version;
mod wait;
mod watch;
mod worker;

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use rrm_spec::{DrainTarget, JobChange};

use arguments::{
    Arguments, Command, DataCommand, Global, PriorityArguments, ReportArguments, ReportKind, UndrainArguments,
};
use daemon::Daemon;
use exit::{Exit, Failure};
use output::{Format, Output};
use request::Request;

/// Runs the process's command line.
pub fn main() -> ExitCode {
    let Arguments { global, command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misused(&error),
    };
    let output = Output::new(global.format());
    log_if_asked();
    let exit = match runtime().and_then(|runtime| {
        let finished = runtime.block_on(supervised(command, &global, output));
        // A download that was interrupted is on a thread of its own and need not be waited for.
        runtime.shutdown_background();
        finished
    }) {
        Ok(exit) => exit,
        Err(failure) => {
            if failure.exit() != Exit::Done {
                output.failure(&failure);
            }
            failure.exit()
        }
    };
    ExitCode::from(exit as u8)
}

/// Help and version are data; wrong usage is a failure like any other, for programs too.
fn misused(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && arguments::json_asked(std::env::args_os(), std::env::var_os("RRM_JSON").as_deref()) {
        let text = error.render().to_string();
        let what = text.trim().trim_start_matches("error: ").to_owned();
        Output::new(Format::Json).failure(&Failure::new(Exit::Invalid, what).next("see `rrm --help`"));
    } else {
        // Nobody is left to tell if the terminal is gone.
        let _ = error.print();
    }
    if error.use_stderr() { ExitCode::from(Exit::Invalid as u8) } else { ExitCode::SUCCESS }
}

/// The library's own messages, for those who set `RRM_LOG`.
fn log_if_asked() {
    if std::env::var_os("RRM_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_env("RRM_LOG");
        let colour = output::may_colour(&std::io::stderr());
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour).init();
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| Failure::new(Exit::Failed, format!("start: {error}")))
}

/// Runs a command until it ends, is interrupted, or its time is over.
async fn supervised(command: Command, global: &Global, output: Output) -> Result<Exit, Failure> {
    let request = Request::of(&command)?;
    let (farewell, retreat) = (farewell(&command), retreat(&command));
    let too_late = async {
        match global.timeout {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = run(command, &request, global, output) => ended,
        _ = tokio::signal::ctrl_c() => interrupted(farewell, &request, output),
        () = too_late => Err(timed_out(global.timeout.unwrap_or_default(), retreat, &request)),
    }
}

/// A request of which nobody knows what became is a failure, for programs too.
fn interrupted(farewell: &str, request: &Request, output: Output) -> Result<Exit, Failure> {
    match request.doubt() {
        Some(next) => Err(Failure::new(Exit::Interrupted, "interrupted before the daemon answered").next(next)),
        None => {
            output.note(farewell);
            Ok(Exit::Interrupted)
        }
    }
}

fn timed_out(limit: Duration, retreat: &str, request: &Request) -> Failure {
    let what = format!("not done within {}", time::duration(limit));
    Failure::new(Exit::TimedOut, what).next(request.doubt().unwrap_or_else(|| retreat.to_owned()))
}

/// What users can do whose time is over.
fn retreat(command: &Command) -> &'static str {
    match command {
        Command::Cancel(_)
        | Command::Hold(_)
        | Command::Release(_)
        | Command::Priority(_)
        | Command::Drain(_)
        | Command::Undrain(_) => "it may have been done all the same: look with `rrm list`; to repeat it does no harm",
        _ => "nothing was cancelled; allow more with --timeout, or look with `rrm list`",
    }
}

/// What users should know who interrupt a command.
fn farewell(command: &Command) -> &'static str {
    match command {
        Command::Wait(_) | Command::Watch(_) => wait::INTERRUPTED,
        Command::Submit(arguments) if arguments.wait => wait::INTERRUPTED,
        Command::Data(DataCommand::Fetch(_)) => "interrupted: the same command goes on where this one stopped",
        _ => "interrupted",
    }
}

async fn run(command: Command, request: &Request, global: &Global, output: Output) -> Result<Exit, Failure> {
    let daemon = || Daemon::reach(global, output);
    match command {
        Command::Submit(arguments) => submit::run(&arguments, request, global, output).await,
        Command::List(arguments) => list::run(&arguments, &daemon()?, output).await,
        Command::Show(arguments) => show::run(&arguments, &daemon()?, output).await,
        Command::Explain(arguments) => explain::run(&arguments, &daemon()?, output).await,
        Command::Watch(arguments) => watch::run(&arguments, &daemon()?, output).await,
        Command::Logs(arguments) => logs::run(&arguments, &daemon()?, output).await,
        Command::Wait(arguments) => wait::run(&arguments, &daemon()?, output).await,
        Command::Cancel(arguments) => cancel::run(&arguments, &daemon()?, output).await,
        Command::Hold(arguments) => change::run(&arguments.jobs, JobChange::Hold, &daemon()?, output).await,
        Command::Release(arguments) => change::run(&arguments.jobs, JobChange::Release, &daemon()?, output).await,
        Command::Priority(PriorityArguments { priority, jobs }) => {
            change::run(&jobs, JobChange::Priority(priority), &daemon()?, output).await
        }
        Command::Preempt(arguments) => preempt::run(&arguments, request, &daemon()?, output).await,
        Command::Retry(arguments) => retry::run(&arguments, request, &daemon()?, output).await,
        Command::Drain(arguments) => drain::begin(DrainTarget::Daemon, arguments.how.how(), &daemon()?, output).await,
        Command::Undrain(UndrainArguments {}) => drain::end(DrainTarget::Daemon, &daemon()?, output).await,
        Command::Recipe(command) => recipe::run(&command, output),
        Command::Report(ReportArguments { kind: Some(ReportKind::Suspicion(arguments)), .. }) => {
            suspicion::run(&arguments, &daemon()?, output).await
        }
        Command::Report(arguments) => report::run(&arguments, &daemon()?, output).await,
        Command::Export(command) => export::run(&command, &daemon()?, output).await,
        Command::Worker(command) => worker::run(&command, &daemon()?, output).await,
        Command::Model(command) => model::run(command, global, output).await,
        Command::Data(command) => blocking(move || data::run(command, output)).await,
        Command::Top(arguments) => top::run(&arguments, &daemon()?, output).await,
        Command::Admin(command) => admin::run(&command, &daemon()?, output).await,
        Command::Doctor(arguments) => doctor::run(&arguments, global, output).await,
        Command::Manual(arguments) => manual::run(&arguments, output),
        Command::Completion(arguments) => completion::run(&arguments, output),
        Command::Version => version::run(output),
    }
}

/// On a thread of its own, so that interruptions and the time limit are heeded meanwhile.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| Err(Failure::new(Exit::Failed, format!("the command broke off: {error}"))))
}
