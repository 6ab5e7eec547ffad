-- Who gets which device when: owners and what they have used, what jobs ask for, what workers have, attempts on several devices or on
-- a part of one, and devices out of service.

-- Whose a plan is; what came before there were owners is the laboratory's. A job repeats it, since the queue is ordered by it.
alter table submission add column owner text not null default 'lab' check (owner <> '');
alter table job add column owner text not null default 'lab' check (owner <> '');

-- What jobs ask for, each once: the queue looks at every different demand, not at every job.
create table demand (
    demand_id integer primary key,
    device text not null check (device in ('any', 'cpu', 'cuda')),
    -- Number of devices or part of one, memory and labels, as JSON with sorted labels: equal texts are equal requests.
    resources text not null check (json_valid(resources)),
    unique (device, resources)
) strict;

insert into demand (demand_id, device, resources)
values (1, 'any', '{"devices":1.0}'), (2, 'cpu', '{"devices":1.0}'), (3, 'cuda', '{"devices":1.0}');

-- Null in no row, but a column that refers to another table can only be added with null as its default.
alter table job add column demand_id integer references demand;
update job set demand_id = case device_request when 'any' then 1 when 'cpu' then 2 else 3 end;

-- Of each demand the jobs in the order in which they are handed out, but for their owners: whoever has used least comes first, which
-- changes while jobs run. A claim leaps from owner to owner, so that its cost grows with their number and not with that of the jobs.
-- Held jobs are not in it.
drop index job_ready;
create index job_claim on job (demand_id, priority desc, owner, job_id, not_before) where state = 'queued' and held = 0;

-- Jobs that have not ended, by owner: counted with every submission.
create index job_open on job (owner) where state in ('waiting', 'queued', 'running');

-- What owners have used, in microseconds of one device: all in all, and with a half-life of a week as of used_at.
create table owner_usage (
    owner text primary key,
    device_us real not null,
    used_at integer not null,
    total_device_us real not null
) strict, without rowid;

-- What a worker is called by, as a JSON list of texts.
alter table worker add column labels text not null default '[]' check (json_valid(labels));
-- Null where the worker does not know it.
alter table worker_device add column memory_mib integer check (memory_mib > 0);
-- Into so many parts it is divided among jobs.
alter table worker_device add column share integer not null default 1 check (share > 0);

-- The parts of devices that an attempt has for itself; the trainer computes on attempt.device.
create table attempt_device (
    attempt_id integer not null references attempt,
    worker_id integer not null references worker,
    device text not null,
    -- Counted from 0.
    part integer not null check (part >= 0),
    -- Whether the attempt has not ended.
    open integer not null check (open in (0, 1)),
    primary key (attempt_id, device, part)
) strict, without rowid;

insert into attempt_device (attempt_id, worker_id, device, part, open)
select attempt_id, worker_id, device, 0, 1 from attempt where ended_at is null;

-- Two trainers on one part of a device would be a bug of the daemon: refuse it here. This takes the place of attempt_open_device.
create unique index attempt_device_open on attempt_device (worker_id, device, part) where open = 1;
drop index attempt_open_device;

-- By machine and device rather than by worker: a sick device is sick for the next worker, too.
create table device_service (
    node text not null,
    device text not null,
    -- Jobs that failed there as soon as they began, one after the other, as a JSON list of ids.
    failed text not null default '[]' check (json_valid(failed)),
    -- Null where it is in service.
    out_since integer,
    reason text,
    primary key (node, device),
    check ((out_since is null) = (reason is null))
) strict, without rowid;

-- What each job asks for.
create view job_requests as
select
    j.job_id, j.submission_id, s.name as plan, j.name, j.owner, d.device as device_request,
    d.resources ->> '$.devices' as devices, d.resources ->> '$.memory_gib' as memory_gib,
    coalesce(d.resources -> '$.labels', '[]') as labels
from job j
join submission s on s.submission_id = j.submission_id
join demand d on d.demand_id = j.demand_id;

-- What each owner has used and wants.
create view owners as
select
    o.owner,
    coalesce(u.total_device_us, 0) / 3.6e9 as device_hours,
    coalesce(u.device_us, 0) / 3.6e9 as recent_device_hours,
    strftime('%Y-%m-%dT%H:%M:%fZ', u.used_at / 1e6, 'unixepoch') as recent_as_of,
    (select count(*) from job r where r.owner = o.owner and r.state = 'running') as running_jobs,
    (select count(*) from job q where q.owner = o.owner and q.state = 'queued') as queued_jobs
from (select owner from submission union select owner from owner_usage) o
left join owner_usage u on u.owner = o.owner;

-- The devices of the workers that are connected.
create view devices as
select
    w.worker_id, w.node, d.device, d.name, d.memory_mib / 1024.0 as memory_gib, d.share, w.labels,
    (
        select count(distinct a.attempt_id) from attempt_device a
        where a.worker_id = d.worker_id and a.device = d.device and a.open = 1
    ) as jobs,
    s.out_since is null as in_service,
    s.reason as out_of_service_reason,
    strftime('%Y-%m-%dT%H:%M:%fZ', s.out_since / 1e6, 'unixepoch') as out_of_service_since
from worker w
join worker_device d on d.worker_id = w.worker_id
left join device_service s on s.node = w.node and s.device = d.device
where w.online = 1;
