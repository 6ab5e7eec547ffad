-- Of each attacked image the point at which it was least clearly classified correctly, and of each evaluation an audit of the images
-- that its attack handed back. All of it is null in rows from before.

-- Which part of the attack, counted from 0: the one that broke the image, or else the one that came closest.
alter table image_outcome add column part integer check (part >= 0);
-- The first iteration, 0 for the start, of the restart that broke the image at which it was misclassified.
alter table image_outcome add column iteration integer
    check (iteration is null or (iteration >= 0 and part is not null));
-- Cross-entropy of the label at that point, and the label's logit less the highest other one there.
alter table image_outcome add column loss real check ((loss is null) = (part is null));
alter table image_outcome add column margin real check ((margin is null) = (part is null));

-- What the parts of an evaluation's attack are called.
create table evaluation_part (
    evaluation_id integer not null references evaluation,
    part integer not null check (part >= 0),
    label text not null,
    primary key (evaluation_id, part)
) strict, without rowid;

-- Of the adversarial images of what was broken: the largest change in the attack's norm and in pixel units, how many have a pixel
-- outside of [0, 1], and how many one that is no finite number.
alter table evaluation add column largest_change real;
alter table evaluation add column outside_box integer check ((outside_box is null) = (largest_change is null));
alter table evaluation add column not_finite integer check ((not_finite is null) = (largest_change is null));
-- Images that are classified correctly, counted anew on the adversarial images, and once more with those rounded to 8 bits.
alter table evaluation add column recounted_correct integer check ((recounted_correct is null) = (largest_change is null));
alter table evaluation add column rounded_correct integer check ((rounded_correct is null) = (largest_change is null));

-- One row per radius of each evaluation job that succeeded, from its newest attempt.
drop view evaluations;
create view evaluations as
select
    j.job_id, j.submission_id, s.name as plan, j.name, j.dataset,
    d.parent_id as model_job_id,
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
left join dependency d on d.job_id = j.job_id
left join job m on m.job_id = d.parent_id
where j.kind = 'evaluate' and j.state = 'succeeded' and a.outcome = 'ok';

-- One row per image of each of these.
create view image_outcomes as
select
    j.job_id, j.submission_id, s.name as plan, j.name, j.dataset,
    d.parent_id as model_job_id,
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
left join dependency d on d.job_id = j.job_id
left join job m on m.job_id = d.parent_id
where j.kind = 'evaluate' and j.state = 'succeeded' and a.outcome = 'ok';
