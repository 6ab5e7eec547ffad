//! Who may call: the tokens that were granted, in memory and in the database.

use std::time::Duration;

use rrm_api::{About, ApiError, Caller, VERSION};
use rrm_spec::{Grant, GrantView, TokenHash, Violations};
use rrm_store::{AddToken, By, RevokeToken, Store, StoreError};
use tokio::sync::watch;

use crate::Daemon;
use crate::error::{answer, disk};

/// Between two looks at the clock while a token is waited for to expire: the wall's may be set meanwhile.
const LOOK: Duration = Duration::from_secs(30);

/// The tokens that were granted. Only the daemon changes them, so that its memory is what counts: every call is checked without
/// asking the database, which may be away. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Grants(watch::Sender<Vec<Grant>>);

impl Grants {
    pub(crate) async fn read(store: &Store) -> Result<Self, StoreError> {
        let grants = store.tokens().await?.into_iter().map(|view| view.grant).collect();
        Ok(Self(watch::Sender::new(grants)))
    }

    /// Whose a token is at the time `now`. All are compared, whichever matches.
    fn caller(&self, token: TokenHash, now: i64) -> Option<Caller> {
        let grants = self.0.borrow();
        let found = grants.iter().filter(|grant| grant.sha256 == token).fold(None, |_, grant| Some(grant))?;
        let Grant { sha256: _, user, role, expires_at } = found.clone();
        expires_at.is_none_or(|end| now < end).then_some(Caller { user, role, expires_at })
    }

    /// Completes when a token is no longer valid, by a clock in microseconds.
    async fn ended(&self, token: TokenHash, now: impl Fn() -> i64) {
        // Before looking: what changes while we look must wake us.
        let mut changes = self.0.subscribe();
        loop {
            let at = now();
            let Some(caller) = self.caller(token, at) else { return };
            let left = caller.expires_at.map_or(LOOK, |end| Duration::from_micros(end.abs_diff(at)));
            tokio::select! {
                // The sender is this object's own.
                _ = changes.changed() => {}
                () = tokio::time::sleep(left.min(LOOK)) => {}
            }
        }
    }

    fn add(&self, grant: Grant) {
        self.0.send_modify(|grants| {
            grants.retain(|known| known.sha256 != grant.sha256);
            grants.push(grant);
        });
    }

    fn remove(&self, token: TokenHash) {
        self.0.send_modify(|grants| grants.retain(|grant| grant.sha256 != token));
    }
}

/// A change that somebody has asked for.
pub(crate) fn by<W>(caller: Caller, write: W) -> By<W> {
    let Caller { user, role, expires_at: _ } = caller;
    By { user, role, write }
}

impl Daemon {
    pub(crate) fn caller_of(&self, token: TokenHash) -> Option<Caller> {
        self.grants.caller(token, self.wall_us())
    }

    pub(crate) async fn end_of(&self, token: TokenHash) {
        self.grants.ended(token, || self.wall_us()).await;
    }

    pub(crate) fn describe(&self, caller: Caller) -> Result<About, ApiError> {
        let disk_of = |errno: nix::errno::Errno| disk("the state folder's disk cannot be looked at", &errno.into());
        let found = nix::sys::statvfs::statvfs(&self.folder).map_err(disk_of)?;
        let block = found.fragment_size();
        Ok(About {
            version: VERSION.to_owned(),
            sqlite_version: rrm_store::sqlite_version(),
            now: self.wall_us(),
            free_bytes: found.blocks_available().saturating_mul(block),
            total_bytes: found.blocks().saturating_mul(block),
            caller,
        })
    }

    pub(crate) async fn grant(&self, caller: Caller, grant: Grant) -> Result<(), ApiError> {
        let now = self.wall_us();
        if let Some(end) = grant.expires_at.filter(|end| *end <= now) {
            return Err(
                Violations::one("grant.expires_at", end.to_string(), format!("must be after now, {now}")).into()
            );
        }
        let (user, role) = (caller.user.clone(), caller.role);
        self.store.write(now, by(caller, AddToken { grant: grant.clone() })).await.map_err(answer)?;
        tracing::info!(token = grant.sha256.short(), user = %grant.user, role = %grant.role, by = %user, as_role = %role, "token added");
        self.grants.add(grant);
        Ok(())
    }

    pub(crate) async fn granted(&self) -> Result<Vec<GrantView>, ApiError> {
        self.store.tokens().await.map_err(answer)
    }

    pub(crate) async fn revoke(&self, caller: Caller, sha256: TokenHash) -> Result<(), ApiError> {
        let user = caller.user.clone();
        self.store.write(self.wall_us(), by(caller, RevokeToken { sha256 })).await.map_err(answer)?;
        self.grants.remove(sha256);
        tracing::info!(token = sha256.short(), by = %user, "token revoked");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rrm_spec::{Role, UserName};

    use super::*;

    fn grant(byte: u8, role: Role, expires_at: Option<i64>) -> Grant {
        Grant { sha256: TokenHash::new([byte; 32]), user: UserName::lab(), role, expires_at }
    }

    #[test]
    fn a_token_is_valid_until_it_expires_or_is_revoked() {
        let grants = Grants(watch::Sender::default());
        grants.add(grant(1, Role::Read, Some(100)));
        grants.add(grant(2, Role::Work, None));
        let role = |byte, now| grants.caller(TokenHash::new([byte; 32]), now).map(|caller| caller.role);
        assert_eq!((role(1, 99), role(1, 100)), (Some(Role::Read), None));
        assert_eq!((role(2, i64::MAX), role(3, 0)), (Some(Role::Work), None));
        grants.remove(TokenHash::new([2; 32]));
        assert_eq!(role(2, 0), None);
    }
    #[tokio::test]
    async fn the_end_of_a_token_is_noticed_when_it_expires_and_when_it_is_revoked() {
        let grants = Grants(watch::Sender::default());
        let (begun, expiry) = (tokio::time::Instant::now(), Duration::from_millis(20));
        let now = || begun.elapsed().as_micros() as i64;
        grants.add(grant(1, Role::Read, Some(expiry.as_micros() as i64)));
        grants.add(grant(2, Role::Read, None));
        grants.ended(TokenHash::new([1; 32]), now).await;
        assert!(begun.elapsed() >= expiry, "{:?}", begun.elapsed());
        let others = Grants::clone(&grants);
        let waiting = tokio::spawn(async move { others.ended(TokenHash::new([2; 32]), || 0).await });
        grants.add(grant(3, Role::Read, None));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "another's change ends nothing");
        grants.remove(TokenHash::new([2; 32]));
        waiting.await.unwrap();
        grants.ended(TokenHash::new([9; 32]), now).await;
    }
}
