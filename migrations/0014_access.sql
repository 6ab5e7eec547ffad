-- Who may call what, and who has called.

create table token (
    -- SHA-256 of a token of 256 random bits: who reads this table can do nothing with it.
    token_sha256 text primary key check (length(token_sha256) = 64),
    user text not null check (length(user) between 1 and 64),
    role text not null check (role in ('read', 'submit', 'admin', 'work')),
    created_at integer not null,
    -- Null = until it is revoked, which deletes the row; the log of events remembers both.
    expires_at integer
) strict, without rowid;

-- Whose call made it so; null where the daemon acted by itself, and in events from before this migration.
alter table event add column user text;
alter table event add column role text check (role in ('read', 'submit', 'admin', 'work'));

-- A user's submissions, for the limit on open jobs.
create index event_submitter on event (user, submission_id) where kind = 'submission';

-- Who did what: the log of events with the callers.
create view audit as
select seq, strftime('%Y-%m-%dT%H:%M:%fZ', at / 1e6, 'unixepoch') as at, user, role, kind,
       submission_id, job_id, attempt_id, worker_id, data
from event
where user is not null;
