-- What an evaluation has measured besides: numbers that tell a robust network from one whose gradients lead nowhere. And evaluations
-- that need two jobs, the network that they are of and its teacher: the views that took the only job that one needs for that network
-- stand here again.
create table diagnosis (
    attempt_id integer primary key references attempt,
    -- Hash of the checkpoint file that was measured.
    weights text not null,
    -- The ball of the attacks, as JSON.
    threat text not null check (json_valid(threat)),
    elapsed_us integer not null,
    recorded_at integer not null
) strict;

-- Names, and what they count: docs/diagnostics.md.
create table diagnostic (
    attempt_id integer not null references diagnosis,
    -- In the order of measurement.
    position integer not null,
    name text not null,
    value real not null,
    -- What the name does not say; may be empty.
    detail text not null,
    primary key (attempt_id, position),
    unique (attempt_id, name)
) strict, without rowid;

-- One row per number of each evaluation job that succeeded, from its newest attempt.
create view diagnostics as
select
    j.job_id, j.submission_id, s.name as plan, j.name, j.dataset,
    m.job_id as model_job_id,
    coalesce(m.name, j.spec ->> '$.model.checkpoint', j.spec ->> '$.model.artifact') as model,
    d.weights as weights_sha256, d.threat ->> '$.norm' as norm, d.threat ->> '$.epsilon' as epsilon,
    n.position, n.name as number, n.value, n.detail, d.elapsed_us / 1e6 as elapsed_s,
    strftime('%Y-%m-%dT%H:%M:%fZ', d.recorded_at / 1e6, 'unixepoch') as recorded_at
from job j
join submission s on s.submission_id = j.submission_id
join attempt a on a.job_id = j.job_id
join diagnosis d on d.attempt_id = a.attempt_id
join diagnostic n on n.attempt_id = a.attempt_id
left join job m on m.job_id = cast(ltrim(j.spec ->> '$.model.job', '#') as integer)
where j.kind = 'evaluate' and j.state = 'succeeded' and a.outcome = 'ok';

drop view runs;
drop view evaluations;

-- One row per radius of each evaluation job that succeeded, from its newest attempt.
create view evaluations as
select
    j.job_id, j.submission_id, s.name as plan, j.name, j.dataset,
    m.job_id as model_job_id,
    coalesce(m.name, j.spec ->> '$.model.checkpoint', j.spec ->> '$.model.artifact') as model,
    v.label as attack, v.norm, v.epsilon, v.epsilon_value,
    j.spec ->> '$.seed' as seed,
    v.natural_correct, v.natural_total, 1.0 * v.natural_correct / nullif(v.natural_total, 0) as natural_accuracy,
    v.natural_low, v.natural_high,
    v.robust_correct, v.robust_total, 1.0 * v.robust_correct / nullif(v.robust_total, 0) as robust_accuracy,
    v.robust_low, v.robust_high,
    v.elapsed_us / 1e6 as elapsed_s, v.weights as weights_sha256, v.attempt_id,
    strftime('%Y-%m-%dT%H:%M:%fZ', v.recorded_at / 1e6, 'unixepoch') as recorded_at,
    v.evaluation_id,
    v.largest_change, v.outside_box, v.not_finite, v.recounted_correct, v.rounded_correct,
    1.0 * v.rounded_correct / nullif(v.robust_total, 0) as rounded_accuracy
from job j
join submission s on s.submission_id = j.submission_id
join attempt a on a.job_id = j.job_id
join evaluation v on v.attempt_id = a.attempt_id
-- An evaluation may need a teacher beside the network that it is of. References are written #12.
left join job m on m.job_id = cast(ltrim(j.spec ->> '$.model.job', '#') as integer)
where j.kind = 'evaluate' and j.state = 'succeeded' and a.outcome = 'ok';

-- One row per image of each of these.
create view image_outcomes as
select
    j.job_id, j.submission_id, s.name as plan, j.name, j.dataset,
    m.job_id as model_job_id,
    coalesce(m.name, j.spec ->> '$.model.checkpoint', j.spec ->> '$.model.artifact') as model,
    i.evaluation_id, v.label as attack, v.norm, v.epsilon, v.epsilon_value,
    i.image, i.label, i.prediction, i.outcome, i.restart,
    i.part, iif(i.part is null, null, coalesce(p.label, v.label)) as part_attack, i.iteration, i.loss, i.margin
from image_outcome i
join evaluation v on v.evaluation_id = i.evaluation_id
join attempt a on a.attempt_id = v.attempt_id
join job j on j.job_id = a.job_id
join submission s on s.submission_id = j.submission_id
left join evaluation_part p on p.evaluation_id = i.evaluation_id and p.part = i.part
left join job m on m.job_id = cast(ltrim(j.spec ->> '$.model.job', '#') as integer)
where j.kind = 'evaluate' and j.state = 'succeeded' and a.outcome = 'ok';

-- One wide row per job. Of a train job the natural accuracy is its last epoch's, and the attack's columns come from the
-- newest evaluation of its final weights; of an evaluation job both are its own.
--
-- Sums over epochs are subqueries, and joins go to tables: a join with another view would be worked out for all jobs even
-- where one is asked for.
create view runs as
select
    j.job_id, j.submission_id, s.name as plan, j.name, j.kind, j.state, j.reason, j.priority, j.dataset,
    j.spec ->> '$.arch' as arch,
    j.spec ->> '$.method.kind' as method,
    t.job_id as teacher_job_id,
    coalesce(t.name, j.spec ->> '$.method.teacher.checkpoint', j.spec ->> '$.method.teacher.artifact') as teacher,
    j.spec ->> '$.seed' as seed,
    j.epochs_total,
    coalesce(l.epoch, 0) as epochs_done,
    (select sum(e.train_s) from epoch_current e where e.job_id = j.job_id) as train_s,
    (select avg(e.train_s) from epoch_current e where e.job_id = j.job_id) as epoch_s,
    (select sum(e.validation_s) from epoch_current e where e.job_id = j.job_id) as validation_s,
    (select sum(e.train_s) from epoch_current e where e.job_id = t.job_id) as teacher_train_s,
    -- With all that it was made from, each once.
    iif(j.kind = 'evaluate', null, (
        with recursive ancestor(job_id) as (
            select j.job_id union select n.parent_id from dependency n join ancestor using (job_id)
        )
        select sum(e.train_s) from epoch_current e where e.job_id in (select ancestor.job_id from ancestor)
    )) as train_with_teacher_s,
    l.loss as final_loss,
    coalesce(l.natural_correct, v.natural_correct) as natural_correct,
    coalesce(l.natural_total, v.natural_total) as natural_total,
    1.0 * coalesce(l.natural_correct, v.natural_correct) / nullif(coalesce(l.natural_total, v.natural_total), 0)
        as natural_accuracy,
    va.job_id as evaluation_job_id, v.label as attack, v.norm, v.epsilon,
    v.robust_correct, v.robust_total, 1.0 * v.robust_correct / nullif(v.robust_total, 0) as robust_accuracy,
    v.robust_low, v.robust_high,
    a.parameters, a.run_device as device, a.run_threads as threads, w.node, a.code_version,
    (select count(*) from attempt n where n.job_id = j.job_id) as attempts,
    strftime('%Y-%m-%dT%H:%M:%fZ', j.created_at / 1e6, 'unixepoch') as created_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', j.started_at / 1e6, 'unixepoch') as started_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', j.ended_at / 1e6, 'unixepoch') as ended_at,
    (j.ended_at - j.started_at) / 1e6 as wall_s,
    iif(j.kind = 'train', coalesce(j.spec ->> '$.precision', 'f32'), null) as precision
from job j
join submission s on s.submission_id = j.submission_id
-- A job may need others than its teacher. References are written #12.
left join job t on j.kind = 'train' and t.job_id = cast(ltrim(j.spec ->> '$.method.teacher.job', '#') as integer)
left join epoch l on l.epoch = (select max(e.epoch) from epoch_current e where e.job_id = j.job_id)
    and l.attempt_id = (select e.attempt_id from epoch_current e where e.job_id = j.job_id order by e.epoch desc limit 1)
left join attempt va on va.outcome = 'ok' and va.job_id = case j.kind
    when 'evaluate' then iif(j.state = 'succeeded', j.job_id, null)
    else (
        select max(m.job_id) from dependency m join job e on e.job_id = m.job_id
        where m.parent_id = j.job_id and e.kind = 'evaluate' and e.state = 'succeeded'
            -- Not where the network was another's teacher.
            and e.spec ->> '$.model.job' = '#' || j.job_id
    )
end
-- Of several radii the last that was told, so that a job stays one row.
left join evaluation v on v.evaluation_id = (select max(n.evaluation_id) from evaluation n where n.attempt_id = va.attempt_id)
left join attempt a on a.attempt_id = (select max(n.attempt_id) from attempt n where n.job_id = j.job_id)
left join worker w on w.worker_id = a.worker_id;
