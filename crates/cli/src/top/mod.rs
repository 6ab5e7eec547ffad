//! `rrm top`: workers, what runs, and what waits, as it is now.

mod keyboard;
mod picture;
mod screen;

use std::io::IsTerminal;

use rrm_spec::JobState;

use crate::{
    arguments::TopArguments,
    daemon::Daemon,
    exit::{Exit, Failure},
    output::{Format, Output},
    time,
};
use keyboard::Keyboard;
use picture::Picture;
use screen::Screen;

/// Of what waits no more are looked at, the newest; that there are older ones is told.
const LONGEST_QUEUE: usize = 1000;

pub(crate) async fn run(arguments: &TopArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let first = look(daemon).await.map_err(|failure| failure.context("look at workers and jobs"))?;
    if arguments.once {
        return show_once(&first, output);
    }
    let is_live = output.format() == Format::Human && std::io::stdout().is_terminal();
    match is_live {
        true => live(first, arguments, daemon, output).await,
        false => again_and_again(first, arguments, daemon, output).await,
    }
}

async fn look(daemon: &Daemon) -> Result<Picture, Failure> {
    let workers = daemon.client.workers().await?;
    let running = daemon.list(&[JobState::Running], None, usize::MAX).await?;
    let waiting = daemon.list(&[JobState::Waiting, JobState::Queued], None, LONGEST_QUEUE + 1).await?;
    Ok(Picture::new(workers, running, waiting, LONGEST_QUEUE, time::now_us()))
}

fn show_once(picture: &Picture, output: Output) -> Result<Exit, Failure> {
    match output.format() {
        Format::Json => output.document(picture.document())?,
        Format::Ids => picture.running_ids().try_for_each(|id| output.line(&id.to_string()))?,
        Format::Human => output.text(&picture.lines(output).join("\n")).and_then(|()| output.text("\n"))?,
    }
    Ok(Exit::Done)
}

/// Where nobody looks: pictures one after the other, without an end.
async fn again_and_again(
    first: Picture,
    arguments: &TopArguments,
    daemon: &Daemon,
    output: Output,
) -> Result<Exit, Failure> {
    let mut picture = first;
    loop {
        match output.format() {
            Format::Json => output.json_line(picture.document())?,
            Format::Ids | Format::Human => drop(show_once(&picture, output)?),
        }
        tokio::time::sleep(arguments.interval).await;
        picture = look(daemon).await?;
    }
}

/// One picture, renewed until `q` is pressed. A daemon that is away is waited for.
async fn live(first: Picture, arguments: &TopArguments, daemon: &Daemon, output: Output) -> Result<Exit, Failure> {
    let daemon = daemon.impatient();
    let mut screen = Screen::open();
    let mut keyboard = Keyboard::open();
    let mut picture = first;
    let mut remark = None;
    loop {
        screen.draw(&picture.lines(output), remark, output)?;
        tokio::select! {
            () = tokio::time::sleep(arguments.interval) => {}
            () = keyboard.quit() => return Ok(Exit::Done),
        }
        remark = match look(&daemon).await {
            Ok(next) => {
                picture = next;
                None
            }
            Err(failure) if failure.is_unreachable() => Some("the daemon does not answer: waiting for it"),
            Err(failure) => return Err(failure),
        };
    }
}
