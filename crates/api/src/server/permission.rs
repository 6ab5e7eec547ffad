//! Which role may make which call: the one table of it. A call that is not in it is refused.

use std::time::Duration;

use rrm_spec::Role;

/// An answer that takes longer is given up. Longer than a long poll (30 s); streams and uploads have no end.
const DEADLINE: Duration = Duration::from_secs(60);

/// Who may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Everyone, also without a token.
    Nothing,
    /// Whoever has a valid token.
    Token,
    /// Those who may read.
    Read,
    /// Those who may submit.
    Submit,
    /// Those who give out tokens.
    Admin,
    /// Workers.
    Work,
}

/// A call of the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// `/PACKAGE.Service/Method`.
    pub(super) path: &'static str,
    pub(super) need: Need,
    /// For how long its answer may be worked at; absent for streams.
    pub(super) deadline: Option<Duration>,
}

const fn once(path: &'static str, need: Need) -> Call {
    Call { path, need, deadline: Some(DEADLINE) }
}

const fn stream(path: &'static str, need: Need) -> Call {
    Call { path, need, deadline: None }
}

/// Every call that there is.
const CALLS: &[Call] = &[
    // Without a token, since balancers and supervisors have none; it tells one bit.
    once("/grpc.health.v1.Health/Check", Need::Nothing),
    stream("/grpc.health.v1.Health/Watch", Need::Nothing),
    // The protocol is no secret, but each of these holds a stream open: not for strangers.
    stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Need::Token),
    stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Need::Token),
    once("/rrm.v1.Access/About", Need::Token),
    once("/rrm.v1.Access/AddToken", Need::Admin),
    once("/rrm.v1.Access/ListTokens", Need::Admin),
    once("/rrm.v1.Access/RevokeToken", Need::Admin),
    stream("/rrm.v1.Artifacts/Download", Need::Token),
    stream("/rrm.v1.Artifacts/Import", Need::Submit),
    once("/rrm.v1.Artifacts/Imports", Need::Read),
    once("/rrm.v1.Artifacts/Stored", Need::Work),
    stream("/rrm.v1.Artifacts/Upload", Need::Work),
    once("/rrm.v1.Control/Change", Need::Submit),
    once("/rrm.v1.Control/Drain", Need::Admin),
    once("/rrm.v1.Control/ListDrains", Need::Read),
    once("/rrm.v1.Control/Preempt", Need::Submit),
    once("/rrm.v1.Control/Retry", Need::Submit),
    once("/rrm.v1.Control/Undrain", Need::Admin),
    once("/rrm.v1.Jobs/Cancel", Need::Submit),
    once("/rrm.v1.Jobs/Explain", Need::Read),
    once("/rrm.v1.Jobs/Get", Need::Read),
    stream("/rrm.v1.Jobs/Images", Need::Read),
    once("/rrm.v1.Jobs/LastPlan", Need::Read),
    once("/rrm.v1.Jobs/List", Need::Read),
    once("/rrm.v1.Jobs/ListWorkers", Need::Read),
    stream("/rrm.v1.Jobs/Logs", Need::Read),
    once("/rrm.v1.Jobs/RestoreDevice", Need::Admin),
    once("/rrm.v1.Jobs/Submit", Need::Submit),
    stream("/rrm.v1.Jobs/Watch", Need::Read),
    once("/rrm.v1.Workers/Deregister", Need::Work),
    once("/rrm.v1.Workers/Heartbeat", Need::Work),
    once("/rrm.v1.Workers/Lease", Need::Work),
    once("/rrm.v1.Workers/PushLog", Need::Work),
    once("/rrm.v1.Workers/Register", Need::Work),
    once("/rrm.v1.Workers/Report", Need::Work),
    once("/rrm.v1.Workers/Settle", Need::Work),
];

/// The call of that path.
pub(super) fn call(path: &str) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.path == path)
}

/// Whether the holder of such a token may make such a call.
pub(super) fn allows(role: Role, need: Need) -> bool {
    match (need, role) {
        (Need::Nothing | Need::Token, _) => true,
        (Need::Read, Role::Read | Role::Submit | Role::Admin) => true,
        (Need::Submit, Role::Submit | Role::Admin) => true,
        (Need::Admin, Role::Admin) => true,
        (Need::Work, Role::Work) => true,
        (Need::Read, Role::Work)
        | (Need::Submit, Role::Read | Role::Work)
        | (Need::Admin, Role::Read | Role::Submit | Role::Work)
        | (Need::Work, Role::Read | Role::Submit | Role::Admin) => false,
    }
}

/// The roles that may make such a call, for people.
pub(super) fn roles(need: Need) -> String {
    let names: Vec<&str> = Role::ALL.into_iter().filter(|role| allows(*role, need)).map(Role::name).collect();
    match names.as_slice() {
        [] => "a role that there is not".to_owned(),
        [one] => (*one).to_owned(),
        [many @ .., last] => format!("{} or {last}", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::wire;

    /// Every call of these descriptors, as a path.
    fn paths(descriptors: &[u8]) -> BTreeSet<String> {
        let files = FileDescriptorSet::decode(descriptors).unwrap().file;
        let services = files.iter().flat_map(|file| file.service.iter().map(move |service| (file.package(), service)));
        let path = |package: &str, service: &str, method: &str| format!("/{package}.{service}/{method}");
        let methods = services.flat_map(|(package, service)| {
            service.method.iter().map(move |method| path(package, service.name(), method.name()))
        });
        methods.collect()
    }

    #[test]
    fn every_call_of_the_wire_is_in_the_table_once_and_nothing_else_is() {
        let served = [
            wire::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let served: BTreeSet<String> = served.into_iter().flat_map(paths).collect();
        let table: Vec<&str> = CALLS.iter().map(|call| call.path).collect();
        assert_eq!(table.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), served);
        assert!(table.is_sorted_by(|one, next| one < next), "each once, in order");
        assert!(call("/rrm.v1.Jobs/Delete").is_none());
    }

    /// What each role may call of the project's own services, written out.
    #[test]
    fn each_role_may_make_its_own_calls_only() {
        let everyone = ["Access/About", "Artifacts/Download"];
        let read = [
            "Artifacts/Imports",
            "Control/ListDrains",
            "Jobs/Explain",
            "Jobs/Get",
            "Jobs/Images",
            "Jobs/LastPlan",
            "Jobs/List",
            "Jobs/ListWorkers",
            "Jobs/Logs",
            "Jobs/Watch",
        ];
        let submit =
            ["Artifacts/Import", "Control/Change", "Control/Preempt", "Control/Retry", "Jobs/Cancel", "Jobs/Submit"];
        let admin = [
            "Access/AddToken",
            "Access/ListTokens",
            "Access/RevokeToken",
            "Control/Drain",
            "Control/Undrain",
            "Jobs/RestoreDevice",
        ];
        let work = [
            "Artifacts/Stored",
            "Artifacts/Upload",
            "Workers/Deregister",
            "Workers/Heartbeat",
            "Workers/Lease",
            "Workers/PushLog",
            "Workers/Register",
            "Workers/Report",
            "Workers/Settle",
        ];
        let allowed = |role: Role| {
            let own = CALLS.iter().filter_map(|call| Some((call.path.strip_prefix("/rrm.v1.")?, call.need)));
            own.filter(|(_, need)| allows(role, *need)).map(|(path, _)| path).collect::<BTreeSet<_>>()
        };
        let set = |parts: &[&[&'static str]]| parts.concat().into_iter().collect::<BTreeSet<_>>();
        assert_eq!(allowed(Role::Read), set(&[&everyone, &read]));
        assert_eq!(allowed(Role::Submit), set(&[&everyone, &read, &submit]));
        assert_eq!(allowed(Role::Admin), set(&[&everyone, &read, &submit, &admin]));
        assert_eq!(allowed(Role::Work), set(&[&everyone, &work]));
    }

    /// The calls that the row of a role in docs/api.md names; of those that include others the calls that come with it.
    fn documented(role: Role) -> BTreeSet<String> {
        let manual = include_str!("../../../../docs/api.md");
        let begin = format!("| `{role}` |");
        let row = manual.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("no row of {role}"));
        let services = row.split('|').nth(3).expect("three columns").split(';');
        let calls = services.flat_map(|service| {
            let mut words = service.split('`').skip(1).step_by(2);
            let name = words.next().expect("a service has a name");
            words.map(move |method| format!("{name}/{method}"))
        });
        calls.collect()
    }

    #[test]
    fn the_manual_has_the_same_table() {
        let own = |call: &&Call| call.path.starts_with("/rrm.v1.");
        let allowed = |role: Role| -> BTreeSet<String> {
            let calls = CALLS.iter().filter(own).filter(|call| allows(role, call.need));
            calls.map(|call| call.path.trim_start_matches("/rrm.v1.").to_owned()).collect()
        };
        let with = |role: Role, below: Role| &allowed(role) - &allowed(below);
        assert_eq!(documented(Role::Read), allowed(Role::Read));
        assert_eq!(documented(Role::Submit), with(Role::Submit, Role::Read));
        assert_eq!(documented(Role::Admin), with(Role::Admin, Role::Submit));
        assert_eq!(documented(Role::Work), allowed(Role::Work));
    }

    #[test]
    fn answers_that_can_take_their_time_have_no_deadline() {
        let files = FileDescriptorSet::decode(wire::DESCRIPTORS).unwrap().file;
        for file in &files {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let streams = method.client_streaming() || method.server_streaming();
                    assert_eq!(call(&path).unwrap().deadline.is_none(), streams, "{path}");
                }
            }
        }
    }
}
