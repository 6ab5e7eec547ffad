use rrm_api::{ApiError, Role, Service, Token, VERSION};
use rrm_spec::{Grant, TokenHash};

use crate::desk::{Desk, USER, single};

fn grant(token: &Token, role: Role, expires_at: Option<i64>) -> Grant {
    Grant { sha256: token.sha256(), user: "ada".parse().unwrap(), role, expires_at }
}

#[tokio::test]
async fn a_granted_token_has_its_user_and_role_over_a_restart_until_it_is_revoked() {
    let desk = Desk::new().await;
    let token = Token::fresh().unwrap();
    assert_eq!(desk.daemon.caller(token.sha256()), None);
    desk.daemon.add_token(USER, grant(&token, Role::Submit, None)).await.unwrap();
    let desk = desk.restarted().await;
    let caller = desk.daemon.caller(token.sha256()).unwrap();
    assert_eq!((caller.user.as_str(), caller.role), ("ada", Role::Submit));
    assert_eq!(desk.daemon.tokens(USER).await.unwrap().len(), 1);
    desk.daemon.revoke_token(USER, token.sha256()).await.unwrap();
    assert_eq!(desk.daemon.caller(token.sha256()), None);
    let again = desk.daemon.revoke_token(USER, token.sha256()).await;
    assert!(matches!(again, Err(ApiError::NotFound { .. })), "{again:?}");
}

#[tokio::test]
async fn a_token_that_has_ended_before_it_begins_is_refused() {
    let desk = Desk::new().await;
    let token = Token::fresh().unwrap();
    let refused = desk.daemon.add_token(USER, grant(&token, Role::Read, Some(1))).await;
    assert!(
        matches!(&refused, Err(ApiError::Invalid(faults)) if faults.to_string().contains("expires_at")),
        "{refused:?}"
    );
    assert_eq!(desk.daemon.caller(token.sha256()), None);
    assert_eq!(desk.daemon.caller(TokenHash::new([0; 32])), None);
}

#[tokio::test]
async fn a_daemon_is_healthy_until_it_stops_or_its_database_is_away() {
    let desk = Desk::new().await;
    assert!(desk.daemon.is_healthy().await);
    desk.daemon.stop();
    assert!(!desk.daemon.is_healthy().await);
    let desk = desk.restarted().await;
    assert!(desk.daemon.is_healthy().await);
    desk.daemon.close().await;
    assert!(!desk.daemon.is_healthy().await);
}

#[tokio::test]
async fn a_daemon_says_what_it_is_and_how_much_room_there_is() {
    let desk = Desk::new().await;
    desk.submit(&single()).await;
    let about = desk.daemon.about(USER).await.unwrap();
    assert_eq!((about.version.as_str(), about.caller), (VERSION, USER));
    assert!(about.sqlite_version.starts_with("3.") && about.now > 1_700_000_000_000_000);
    assert!(about.free_bytes > 0 && about.free_bytes <= about.total_bytes);
}
