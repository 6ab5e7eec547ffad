//! The checksums of a zip archive.

/// What every entry of the archive's directory begins with, and how long it is without its names.
const ENTRY: (&[u8], usize) = (b"PK\x01\x02", 46);
/// The same of what stands before an entry's content.
const LOCAL: (&[u8], usize) = (b"PK\x03\x04", 30);

/// Gives every entry that lies within the file and is not compressed the checksum of its content.
pub fn correct(file: &mut [u8]) {
    if !file.starts_with(LOCAL.0) {
        return;
    }
    for at in 0..file.len().saturating_sub(ENTRY.1) {
        if file[at..].starts_with(ENTRY.0)
            && let Some((begin, length, local)) = content(file, at)
        {
            let checksum = crc32fast::hash(&file[begin..begin + length]).to_le_bytes();
            file[at + 16..at + 20].copy_from_slice(&checksum);
            file[local + 14..local + 18].copy_from_slice(&checksum);
        }
    }
}

/// Where an entry's content begins, its length, and where what stands before it begins.
fn content(file: &[u8], entry: usize) -> Option<(usize, usize, usize)> {
    let (length, local) = (long(file, entry + 20)?, long(file, entry + 42)?);
    let header = file.get(local..)?.get(..LOCAL.1)?;
    let begin = local + LOCAL.1 + short(header, 26) + short(header, 28);
    (header.starts_with(LOCAL.0) && begin.checked_add(length)? <= file.len()).then_some((begin, length, local))
}

fn long(file: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?) as usize)
}

fn short(file: &[u8], at: usize) -> usize {
    u16::from_le_bytes([file[at], file[at + 1]]).into()
}
