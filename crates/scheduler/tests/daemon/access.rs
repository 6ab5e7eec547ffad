use rrm_api::{ApiError, Caller, LastPlan, Role, Service, Token, VERSION};
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

fn caller(user: &str, role: Role) -> Caller {
    Caller { user: user.parse().unwrap(), role, expires_at: None }
}

#[tokio::test]
async fn the_last_plan_is_the_callers_own_and_a_reader_without_one_gets_anybodys() {
    let desk = Desk::new().await;
    let last = async |user: &str, role| desk.daemon.last_plan(caller(user, role)).await;
    let none = |whose: &str| Err(ApiError::NotFound { what: format!("no plan of {whose}") });
    assert_eq!(last("ada", Role::Submit).await, none("ada"));
    assert_eq!(last("rita", Role::Read).await, none("anybody"));
    let ada = desk.submit_as(caller("ada", Role::Submit), &single()).await.submission;
    let bob = desk.submit_as(caller("bob", Role::Submit), &single()).await.submission;
    let found =
        |submission, owner: &str| Ok(LastPlan { submission, name: "chain".to_owned(), owner: owner.parse().unwrap() });
    assert_eq!(last("ada", Role::Submit).await, found(ada, "ada"));
    assert_eq!(last("ada", Role::Read).await, found(ada, "ada"), "her own, whatever the token is for");
    assert_eq!(last("rita", Role::Read).await, found(bob, "bob"));
    assert_eq!(last("eve", Role::Admin).await, none("eve"));
}

#[tokio::test]
async fn somebody_elses_job_is_refused_with_whom_to_ask() {
    let desk = Desk::new().await;
    let job = desk.submit_as(caller("ada", Role::Submit), &single()).await.jobs[0].0;
    let refused = desk.daemon.cancel(caller("bob", Role::Submit), vec![job]).await.unwrap_err();
    assert!(matches!(refused, ApiError::NotOwner { .. }), "{refused:?}");
    assert_eq!(refused.next_step(), "ask the owner or an administrator");
    desk.daemon.cancel(caller("eve", Role::Admin), vec![job]).await.unwrap();
}
