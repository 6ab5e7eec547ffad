-- What a training computes in, as a column of `runs`. A spec names it only where it is not f32; measurements are in f32 always.
--
-- SQLite cannot alter a view, so all of it stands here again.
drop view runs;

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
    coalesce(t.name, j.spec ->> '$.method.teacher.checkpoint') as teacher,
    j.spec ->> '$.seed' as seed,
    j.epochs_total,
    coalesce(l.epoch, 0) as epochs_done,
    (select sum(e.train_s) from epoch_current e where e.job_id = j.job_id) as train_s,
    (select avg(e.train_s) from epoch_current e where e.job_id = j.job_id) as epoch_s,
    (select sum(e.validation_s) from epoch_current e where e.job_id = j.job_id) as validation_s,
    (select sum(e.train_s) from epoch_current e where e.job_id = t.job_id) as teacher_train_s,
    (select sum(e.train_s) from epoch_current e where e.job_id in (j.job_id, t.job_id)) as train_with_teacher_s,
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
left join dependency d on d.job_id = j.job_id and j.kind = 'train'
left join job t on t.job_id = d.parent_id
left join epoch l on l.epoch = (select max(e.epoch) from epoch_current e where e.job_id = j.job_id)
    and l.attempt_id = (select e.attempt_id from epoch_current e where e.job_id = j.job_id order by e.epoch desc limit 1)
left join attempt va on va.outcome = 'ok' and va.job_id = case j.kind
    when 'evaluate' then iif(j.state = 'succeeded', j.job_id, null)
    else (
        select max(m.job_id) from dependency m join job e on e.job_id = m.job_id
        where m.parent_id = j.job_id and e.kind = 'evaluate' and e.state = 'succeeded'
    )
end
left join evaluation v on v.attempt_id = va.attempt_id
left join attempt a on a.attempt_id = (select max(n.attempt_id) from attempt n where n.job_id = j.job_id)
left join worker w on w.worker_id = a.worker_id;
