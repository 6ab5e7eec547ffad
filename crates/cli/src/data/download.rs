//! One file over HTTP: resumed where it stopped, verified before it is there.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use indicatif::ProgressBar;
use rrm_data::catalogue;
use ureq::{Agent, Body, http::Response};

use crate::exit::{Exit, Failure};

/// Tries that bring no byte, one after the other, before the server is given up.
const FRUITLESS_TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// A server that sends nothing for so long counts as cut off.
const SILENCE: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(60) };

/// What to load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Download<'a> {
    pub(super) url: &'a str,
    /// SHA-256 in hexadecimal.
    pub(super) sha256: &'a str,
    pub(super) bytes: u64,
}

/// Loads a file to `target`.
///
/// What has come is kept in `target.part`, from which a later call goes on. `target` is replaced only by the right file;
/// a wrong one is thrown away and loaded once more from its beginning, since a mirror may have changed in between.
pub(super) fn download(what: Download<'_>, target: &Path, bar: &ProgressBar) -> Result<(), Failure> {
    let part = part_of(target);
    let resumed = length(&part) > 0;
    load(what, &part, bar)?;
    match verified(what, &part) {
        Err(_) if resumed => {
            remove(&part)?;
            load(what, &part, bar)?;
            verified(what, &part)
        }
        other => other,
    }
    .inspect_err(|_| {
        // Kept, the wrong bytes would spoil every later try.
        let _ = fs::remove_file(&part);
    })?;
    fs::rename(&part, target).map_err(|error| Failure::file("replace", target, &error))
}

/// Where an unfinished file lies.
pub(super) fn part_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn verified(what: Download<'_>, part: &Path) -> Result<(), Failure> {
    let found = catalogue::sha256(part)?;
    if found == what.sha256 {
        return Ok(());
    }
    let refused = format!("{} is not the file that it should be: SHA-256 {found} instead of {}", what.url, what.sha256);
    Err(Failure::new(Exit::Failed, refused).next("it was thrown away; try later, or another --mirror"))
}

/// Loads what is missing, going on after every cut as long as bytes come.
fn load(what: Download<'_>, part: &Path, bar: &ProgressBar) -> Result<(), Failure> {
    let (mut fruitless, mut pause) = (0, FIRST_PAUSE);
    loop {
        let before = length(part);
        bar.set_position(before);
        if before == what.bytes {
            return Ok(());
        }
        let error = match attempt(what, part, bar) {
            Ok(()) => continue,
            Err(Trouble::Final(failure)) => return Err(failure),
            Err(Trouble::Cut(error)) => error,
        };
        (fruitless, pause) = if length(part) > before { (0, FIRST_PAUSE) } else { (fruitless + 1, pause * 2) };
        if fruitless >= FRUITLESS_TRIES {
            let failure = Failure::new(Exit::Unreachable, format!("load {}: {error}", what.url));
            return Err(
                failure.next("check the network, or name another address with --mirror; the same command goes on")
            );
        }
        thread::sleep(pause);
    }
}

/// Why a try ended early.
enum Trouble {
    /// Another try may go on.
    Cut(String),
    /// No other try can help.
    Final(Failure),
}

/// Asks for the rest of the file and appends it.
fn attempt(what: Download<'_>, part: &Path, bar: &ProgressBar) -> Result<(), Trouble> {
    if length(part) > what.bytes {
        remove(part).map_err(Trouble::Final)?;
    }
    let have = length(part);
    let response = request(what.url, have)?;
    // A server that ignores the range sends everything from the beginning.
    let append = response.status() == 206;
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .append(append)
        .truncate(!append)
        .open(part)
        .map_err(file_trouble(part))?;
    let start = if append { have } else { 0 };
    bar.set_position(start);
    receive(response, &mut file, what, start, bar, part)
}

fn request(url: &str, have: u64) -> Result<Response<Body>, Trouble> {
    let agent: Agent = Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_read(Some(SILENCE))
        .http_status_as_error(false)
        .user_agent(concat!("rrm/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    // Compressed on the way, a file could neither be resumed nor counted.
    let mut request = agent.get(url).header("Accept-Encoding", "identity");
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = request.call().map_err(|error| Trouble::Cut(error.to_string()))?;
    match response.status().as_u16() {
        200 | 206 => Ok(response),
        status @ (408 | 429 | 500..=599) => Err(Trouble::Cut(format!("the server answers {status}"))),
        status => {
            let failure = Failure::new(Exit::NotFound, format!("load {url}: the server answers {status}"));
            Err(Trouble::Final(failure.next("name another address with --mirror")))
        }
    }
}

fn receive(
    response: Response<Body>,
    file: &mut File,
    what: Download<'_>,
    start: u64,
    bar: &ProgressBar,
    part: &Path,
) -> Result<(), Trouble> {
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 1 << 16];
    let mut have = start;
    while have < what.bytes {
        let read = body.read(&mut buffer).map_err(|error| Trouble::Cut(error.to_string()))?;
        if read == 0 {
            return Err(Trouble::Cut(format!("the connection was cut after {have} of {} bytes", what.bytes)));
        }
        // Whatever follows the last expected byte is not part of the file.
        let wanted = read.min(usize::try_from(what.bytes - have).unwrap_or(read));
        file.write_all(&buffer[..wanted]).map_err(file_trouble(part))?;
        have += wanted as u64;
        bar.set_position(have);
    }
    file.sync_all().map_err(file_trouble(part))
}

fn file_trouble(part: &Path) -> impl Fn(std::io::Error) -> Trouble {
    move |error| Trouble::Final(Failure::file("write", part, &error))
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn remove(path: &Path) -> Result<(), Failure> {
    fs::remove_file(path).map_err(|error| Failure::file("remove", path, &error))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        net::{TcpListener, TcpStream},
        sync::{Arc, Mutex},
    };

    use super::*;

    /// SHA-256 of `content()`, by Python's hashlib.
    const CONTENT_SHA256: &str = "cd2df694e424bc7968cc37f47751019e5ca0cd1bdf2e479ea537c3a1c32ee1aa";

    fn content() -> Vec<u8> {
        (0..100_000u32).map(|index| (index % 251) as u8).collect()
    }

    /// What a server does with one connection.
    #[derive(Clone, Copy)]
    enum Behaviour {
        /// Serves, but cuts the connection after so many bytes.
        CutAfter(usize),
        /// Serves so many bytes and then nothing, though the connection stays.
        StallAfter(usize),
        /// Serves all that was asked for.
        Whole,
        /// Ignores ranges.
        WholeWithoutRanges,
        /// Serves other bytes.
        Wrong,
        /// Answers with that status.
        Status(u16),
    }

    /// A server on the loopback that treats its connections one after the other as told, the last way ever after.
    struct Server {
        url: String,
        ranges: Arc<Mutex<Vec<Option<usize>>>>,
    }

    fn serve(behaviours: &'static [Behaviour]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file.bin", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&ranges);
        thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let behaviour = behaviours[index.min(behaviours.len() - 1)];
                answer(stream.unwrap(), behaviour, &seen);
            }
        });
        Server { url, ranges }
    }

    fn answer(mut stream: TcpStream, behaviour: Behaviour, seen: &Mutex<Vec<Option<usize>>>) {
        let mut range = None;
        for line in BufReader::new(stream.try_clone().unwrap()).lines() {
            let line = line.unwrap().to_ascii_lowercase();
            if let Some(bytes) = line.strip_prefix("range: bytes=") {
                range = bytes.trim_end_matches('-').parse().ok();
            }
            if line.is_empty() {
                break;
            }
        }
        seen.lock().unwrap().push(range);
        let (status, from) = match (behaviour, range) {
            (Behaviour::Status(status), _) => (status, 0),
            (Behaviour::WholeWithoutRanges, _) | (_, None) => (200, 0),
            (_, Some(from)) => (206, from),
        };
        let mut body = content();
        if matches!(behaviour, Behaviour::Wrong) {
            body.reverse();
        }
        let body = &body[from..];
        let sent = match behaviour {
            Behaviour::CutAfter(bytes) | Behaviour::StallAfter(bytes) => &body[..bytes.min(body.len())],
            _ => body,
        };
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        // The client may have left already.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent));
        if matches!(behaviour, Behaviour::StallAfter(_)) {
            // Until the client leaves.
            let _ = stream.read(&mut [0]);
        }
    }

    fn fetch(server: &Server, target: &Path) -> Result<(), Failure> {
        let what = Download { url: &server.url, sha256: CONTENT_SHA256, bytes: 100_000 };
        download(what, target, &ProgressBar::hidden())
    }

    #[test]
    fn a_cut_download_goes_on_where_it_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file.bin");
        let server = serve(&[Behaviour::CutAfter(30_000), Behaviour::CutAfter(30_000), Behaviour::Whole]);
        fetch(&server, &target).unwrap();
        assert_eq!(fs::read(&target).unwrap(), content());
        let ranges = server.ranges.lock().unwrap().clone();
        assert_eq!(ranges.len(), 3, "{ranges:?}");
        // A cut may lose what lies in buffers, but what is on disk is never asked for again.
        assert!(ranges[0].is_none() && ranges[1] > Some(0) && ranges[2] > ranges[1], "{ranges:?}");
        assert!(!part_of(&target).exists());
    }

    #[test]
    fn a_download_that_stalls_is_taken_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file.bin");
        let server = serve(&[Behaviour::StallAfter(30_000), Behaviour::Whole]);
        fetch(&server, &target).unwrap();
        assert_eq!(fs::read(&target).unwrap(), content());
        assert_eq!(server.ranges.lock().unwrap().len(), 2);
    }

    #[test]
    fn an_earlier_runs_part_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file.bin");
        fs::write(part_of(&target), &content()[..40_000]).unwrap();
        let server = serve(&[Behaviour::Whole]);
        fetch(&server, &target).unwrap();
        assert_eq!(fs::read(&target).unwrap(), content());
        assert_eq!(*server.ranges.lock().unwrap(), [Some(40_000)]);
    }

    #[test]
    fn a_server_without_ranges_is_loaded_from_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file.bin");
        fs::write(part_of(&target), &content()[..40_000]).unwrap();
        fetch(&serve(&[Behaviour::WholeWithoutRanges]), &target).unwrap();
        assert_eq!(fs::read(&target).unwrap(), content());
    }

    #[test]
    fn a_wrong_hash_is_refused_and_the_old_file_left_intact() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file.bin");
        fs::write(&target, "the old file").unwrap();
        let failure = fetch(&serve(&[Behaviour::Wrong]), &target).unwrap_err();
        assert!(failure.to_string().contains("SHA-256"), "{failure}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "the old file");
        assert!(!part_of(&target).exists(), "wrong bytes are not kept");
    }

    #[test]
    fn a_spoilt_part_is_thrown_away_and_loaded_anew() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file.bin");
        fs::write(part_of(&target), vec![7; 40_000]).unwrap();
        let server = serve(&[Behaviour::Whole]);
        fetch(&server, &target).unwrap();
        assert_eq!(fs::read(&target).unwrap(), content());
        assert_eq!(*server.ranges.lock().unwrap(), [Some(40_000), None]);
    }

    #[test]
    fn a_missing_file_is_not_asked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let server = serve(&[Behaviour::Status(404)]);
        let failure = fetch(&server, &folder.path().join("file.bin")).unwrap_err();
        assert_eq!(failure.exit(), Exit::NotFound);
        assert_eq!(server.ranges.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_server_that_recovers_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file.bin");
        fetch(&serve(&[Behaviour::Status(503), Behaviour::Whole]), &target).unwrap();
        assert_eq!(fs::read(&target).unwrap(), content());
    }
}
