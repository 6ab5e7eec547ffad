//! The write-ahead log of a daemon that was killed, cut off at arbitrary places: what a power cut may leave.
//!
//! Only what was not yet written back into the database file may be missing: the daemon's `synchronous = full` has the log on
//! the disk before anything of it is written back, so no power cut takes that. Checked of every cut:
//!
//! - SQLite opens it and finds no fault, and every invariant that needs no acknowledgements holds;
//! - its log of events is a beginning of the whole one: transactions are there from the first on, none in part;
//! - a longer rest of the log never has fewer events.
//!
//! The uncut log holds all that was acknowledged before the death.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};

use crate::dice::Dice;
use crate::invariants::{Class, Moment, Violation, violations};
use crate::ledger::Ledger;

/// https://www.sqlite.org/walformat.html: the log's header and a frame's.
const LOG_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;

/// In the index's header, in the machine's byte order: frames written back, and frames that were about to be.
const BACKFILLED: usize = 96;
const BACKFILL_ATTEMPTED: usize = 128;

/// Database, log, and the places at which the log may break off.
pub(crate) struct Remains {
    database: PathBuf,
    log: Vec<u8>,
    first: u64,
    last: u64,
}

impl Remains {
    /// Copies what a dead daemon left; nothing where its log is empty.
    pub(crate) fn copy(state: &Path, into: &Path) -> Option<Self> {
        fs::create_dir_all(into).expect("the round's folder can be written");
        let database = into.join("rrm.db");
        fs::copy(state.join("rrm.db"), &database).expect("the database can be read");
        let log = fs::read(state.join("rrm.db-wal")).unwrap_or_default();
        let index = fs::read(state.join("rrm.db-shm")).unwrap_or_default();
        let (frame, frames) = frames(&log)?;
        let written_back = word(&index, BACKFILLED).max(word(&index, BACKFILL_ATTEMPTED)).min(frames);
        let at = |frames: u64| LOG_HEADER + frames * frame;
        Some(Self { database, first: at(written_back), last: at(frames), log })
    }

    fn cut_at(&self, length: u64) -> PathBuf {
        let cut = self.database.with_file_name("cut.db");
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(beside(&cut, suffix)); // Of the cut before; absent at first.
        }
        fs::copy(&self.database, &cut).expect("the copy can be copied");
        fs::write(beside(&cut, "-wal"), &self.log[..length as usize]).expect("the round's folder can be written");
        cut
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 4).map_or(0, |word| u32::from_ne_bytes(word.try_into().expect("four bytes")).into())
}

/// Bytes of a frame, and how many frames are of this log: those behind them are of an earlier one, whose salt was another.
fn frames(log: &[u8]) -> Option<(u64, u64)> {
    let page = u32::from_be_bytes(log.get(8..12)?.try_into().ok()?);
    let salt = log.get(16..24)?;
    let frame = FRAME_HEADER + u64::from(page);
    let frames = log.get(LOG_HEADER as usize..)?.chunks_exact(frame as usize);
    let count = frames.take_while(|frame| frame.get(8..16) == Some(salt)).count() as u64;
    (count > 0).then_some((frame, count))
}

/// A digest of each event, in order.
fn events(database: &Path) -> rusqlite::Result<Vec<[u8; 32]>> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut query =
        connection.prepare("select json_array(seq, kind, job_id, attempt_id, data) from event order by seq")?;
    query.query_map((), |row| Ok(Sha256::digest(row.get::<_, String>(0)?).into()))?.collect()
}

/// Cuts the log at so many places, and looks at each; how many there were, and what does not hold.
pub(crate) fn cut(remains: &Remains, ledger: &Ledger, cuts: u64, dice: &mut Dice) -> (u64, Vec<Violation>) {
    let broken = |what: String| Violation { rule: "a log that breaks off", class: Class::Broken, what };
    let mut found = Vec::new();
    let span = remains.last - remains.first;
    let mut places: Vec<u64> = (0..cuts).map(|_| remains.first + dice.below(span + 1)).collect();
    places.sort_unstable();
    let whole = remains.cut_at(remains.last);
    found.extend(look(&whole, ledger));
    let all = match events(&whole) {
        Ok(all) => all,
        Err(error) => return (0, vec![broken(format!("the whole log cannot be read: {error}"))]),
    };
    let mut before = 0;
    for &place in &places {
        let cut = remains.cut_at(place);
        found.extend(look(&cut, &Ledger::default()).into_iter().map(|violation| Violation {
            what: format!("{} (the log cut at byte {place} of {})", violation.what, remains.last),
            ..violation
        }));
        match events(&cut) {
            Ok(events) if all.starts_with(&events) && events.len() >= before => before = events.len(),
            Ok(events) => {
                found.push(broken(format!("cut at byte {place} it has {} events, of {}", events.len(), all.len())))
            }
            Err(error) => found.push(broken(format!("cut at byte {place}: {error}"))),
        }
    }
    (cuts, found)
}

fn look(database: &Path, ledger: &Ledger) -> Vec<Violation> {
    match violations(database, ledger, Moment::Underway) {
        Ok(found) => found,
        Err(error) => vec![Violation { rule: "SQLite opens it", class: Class::Broken, what: error.to_string() }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database with 20 commits in its log, as a killed process leaves it.
    fn killed(folder: &Path) {
        let live = folder.join("live");
        fs::create_dir_all(&live).unwrap();
        let writer = Connection::open(live.join("rrm.db")).unwrap();
        writer
            .execute_batch(
                "pragma journal_mode = wal; pragma wal_autocheckpoint = 0; \
                 create table event (seq integer primary key autoincrement, kind, job_id, attempt_id, data)",
            )
            .unwrap();
        for number in 0..20 {
            writer.execute("insert into event (kind, data) values ('note', ?)", [number]).unwrap();
        }
        fs::create_dir_all(folder.join("state")).unwrap();
        for name in ["rrm.db", "rrm.db-wal", "rrm.db-shm"] {
            fs::copy(live.join(name), folder.join("state").join(name)).unwrap();
        }
    }

    #[test]
    fn every_cut_is_a_beginning_and_all_of_them_are_found() {
        let folder = tempfile::tempdir().unwrap();
        killed(folder.path());
        let remains = Remains::copy(&folder.path().join("state"), &folder.path().join("copy")).unwrap();
        let all = events(&remains.cut_at(remains.last)).unwrap();
        assert_eq!(all.len(), 20);
        let mut lengths = std::collections::BTreeSet::new();
        // From the frames of the last commits on, byte by byte at a stride that meets every part of a frame.
        for place in (remains.last - 12 * 4120..=remains.last).step_by(977) {
            let events = events(&remains.cut_at(place)).unwrap();
            assert!(all.starts_with(&events), "cut at byte {place}");
            lengths.insert(events.len());
        }
        assert!(lengths.len() > 3 && lengths.contains(&16), "{lengths:?}");
    }

    #[test]
    fn a_log_with_a_changed_byte_ends_before_it() {
        let folder = tempfile::tempdir().unwrap();
        killed(folder.path());
        let mut remains = Remains::copy(&folder.path().join("state"), &folder.path().join("copy")).unwrap();
        let place = remains.last as usize - 3 * 4120 + 2000;
        remains.log[place] ^= 0x55;
        let left = events(&remains.cut_at(remains.last)).unwrap().len();
        assert!((17..20).contains(&left), "{left}");
    }
}
