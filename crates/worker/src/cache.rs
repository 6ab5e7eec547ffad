//! Artifacts that were fetched, by their hash: a teacher is not fetched again for every student.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rrm_api::{ApiError, Client};
use rrm_spec::ArtifactHash;
use tokio::sync::Mutex;

use crate::spool::hash_of;

/// A folder of files named by the SHA-256 of their content.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    /// What it may hold; the longest unused files go first.
    limit_bytes: u64,
    /// One at a time: what one slot fetches another must not drop before it is used.
    order: Arc<Mutex<()>>,
}

/// An artifact that could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    /// The daemon does not give it.
    #[error("artifact {sha256} cannot be fetched: {source}")]
    Fetch {
        /// Which.
        sha256: ArtifactHash,
        /// Why.
        source: ApiError,
    },
    /// This machine's disk.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Cache {
    pub(crate) fn open(folder: PathBuf, limit_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            // Fetched half by a worker that died.
            if path.extension().is_some_and(|extension| extension == "part") {
                fs::remove_file(path)?;
            }
        }
        Ok(Self { folder, limit_bytes, order: Arc::default() })
    }

    /// Places an artifact at `target`, from the cache or from the daemon. It stays there whatever becomes of the cache.
    pub(crate) async fn place(&self, client: &Client, sha256: &ArtifactHash, target: &Path) -> Result<(), CacheError> {
        let _order = self.order.lock().await;
        let cached = self.folder.join(sha256.as_str());
        if !is_sound(&cached, sha256).await {
            let fetched = client.download(sha256, &cached).await;
            fetched.map_err(|source| CacheError::Fetch { sha256: sha256.clone(), source })?;
            // What came was right; what the disk made of it is what a network is trained from.
            if !is_sound(&cached, sha256).await {
                let source = io::Error::other("holds other bytes than were written to it");
                return Err(CacheError::Io { path: cached, source });
            }
        }
        let cache = self.clone();
        let target = target.to_owned();
        let placed = tokio::task::spawn_blocking(move || {
            link(&cached, &target).map_err(|source| CacheError::Io { path: target, source })?;
            let limit = cache.evict();
            limit.map_err(|source| CacheError::Io { path: cache.folder.clone(), source })
        });
        placed.await.expect("the task neither panics nor is aborted")
    }

    /// Removes the longest unused files until the rest fits.
    fn evict(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            files.push((metadata.modified()?, metadata.len(), entry.path()));
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in files {
            if total <= self.limit_bytes {
                break;
            }
            tracing::debug!(path = %path.display(), "dropped from the cache");
            fs::remove_file(path)?;
            total -= bytes;
        }
        Ok(())
    }
}

/// Whether the file is there with the right content. One that is not is fetched anew over it.
async fn is_sound(path: &Path, expected: &ArtifactHash) -> bool {
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || hash_of(&path)).await;
    matches!(hashed, Ok(Ok(found)) if found == expected.as_str())
}

/// Another name for the cached file, which is marked as used now.
fn link(cached: &Path, target: &Path) -> io::Result<()> {
    fs::File::open(cached)?.set_modified(SystemTime::now())?;
    match fs::remove_file(target) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    fs::hard_link(cached, target).or_else(|_| fs::copy(cached, target).map(drop))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::hash;

    /// A client whose daemon does not exist: what comes, comes from the cache.
    fn alone() -> Client {
        let token = rrm_api::Token::new("0123456789abcdef").unwrap();
        let endpoint = rrm_api::Endpoint { url: "http://127.0.0.1:9".into(), token, tls: None };
        Client::new(&endpoint).unwrap().with_patience(Duration::ZERO)
    }

    fn cache(limit_bytes: u64) -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().join("cache"), limit_bytes).unwrap();
        (folder, cache)
    }

    fn put(cache: &Cache, content: &[u8], age: u64) -> PathBuf {
        let path = cache.folder.join(hash(content).as_str());
        fs::write(&path, content).unwrap();
        let used = SystemTime::now() - Duration::from_secs(age);
        fs::File::open(&path).unwrap().set_modified(used).unwrap();
        path
    }

    #[tokio::test]
    async fn what_is_cached_is_not_fetched() {
        let (folder, cache) = cache(1000);
        put(&cache, b"teacher", 0);
        let target = folder.path().join("input");
        cache.place(&alone(), &hash(b"teacher"), &target).await.unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"teacher");
    }

    #[test]
    fn what_was_fetched_half_is_removed_at_the_start() {
        let (_folder, cache) = cache(1000);
        let half = cache.folder.join("abc.12-34.part");
        fs::write(&half, b"half").unwrap();
        Cache::open(cache.folder.clone(), 1000).unwrap();
        assert!(!half.exists());
    }

    #[tokio::test]
    async fn a_damaged_file_is_not_used() {
        let (folder, cache) = cache(1000);
        fs::write(put(&cache, b"teacher", 0), b"rotten").unwrap();
        let placed = cache.place(&alone(), &hash(b"teacher"), &folder.path().join("input")).await;
        assert!(matches!(placed, Err(CacheError::Fetch { .. })));
    }

    #[tokio::test]
    async fn the_longest_unused_go_first_and_those_in_use_stay_in_use() {
        let (folder, cache) = cache(10);
        let (old, older) = (put(&cache, b"old!", 10), put(&cache, b"oldest", 20));
        let newest = put(&cache, b"teacher", 30);
        let target = folder.path().join("input");
        cache.place(&alone(), &hash(b"teacher"), &target).await.unwrap();
        assert_eq!([&old, &older, &newest].map(|path| path.exists()), [false, false, true]);
        put(&cache, b"another", 0);
        fs::File::open(&newest).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        cache.evict().unwrap();
        assert!(!newest.exists() && fs::read(&target).unwrap() == b"teacher");
    }
}
