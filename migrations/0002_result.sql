-- The results: epochs, checkpoints, evaluations. Accuracies are counts, since percentages neither add nor re-aggregate.

create table epoch (
    -- Keyed by attempt, not by job: a late row of a lost attempt can never replace the one that counts.
    attempt_id integer not null references attempt,
    epoch integer not null check (epoch > 0),
    recorded_at integer not null,
    train_us integer not null check (train_us >= 0),
    validation_us integer not null check (validation_us >= 0),
    images integer not null check (images >= 0),
    learning_rate real not null,
    loss real not null,
    train_correct integer not null,
    train_total integer not null,
    natural_correct integer not null,
    natural_total integer not null,
    -- Null where the validation has no attack.
    robust_correct integer,
    robust_total integer,
    primary key (attempt_id, epoch),
    check (train_correct between 0 and train_total),
    check (natural_correct between 0 and natural_total),
    check ((robust_correct is null) = (robust_total is null)),
    check (robust_correct is null or robust_correct between 0 and robust_total)
) strict, without rowid;

-- A measured number is never changed afterwards.
create trigger epoch_is_final before update on epoch
begin
    select raise(abort, 'an epoch that is recorded cannot be changed');
end;

-- Files of the artifact store, by content. A row is written when the file is safe, and goes before the file goes.
create table artifact (
    sha256 text primary key check (length(sha256) = 64),
    bytes integer not null check (bytes >= 0),
    stored_at integer not null,
    -- Last time that a worker offered it: what was offered lately is kept, since its record may still be on the way.
    touched_at integer not null
) strict, without rowid;

create table checkpoint (
    checkpoint_id integer primary key,
    attempt_id integer not null references attempt,
    epoch integer not null check (epoch >= 0),
    role text not null check (role in ('resume', 'final')),
    path text not null,
    -- No foreign key to artifact: the record may come before the file, and stays when the file is collected.
    sha256 text not null check (length(sha256) = 64),
    bytes integer not null check (bytes >= 0),
    recorded_at integer not null,
    -- When it was superseded; its file may be deleted from then on.
    released_at integer,
    unique (attempt_id, role, epoch)
) strict;

create index checkpoint_file on checkpoint (sha256, released_at);
create index checkpoint_held on checkpoint (role, attempt_id) where released_at is null;

create table evaluation (
    evaluation_id integer primary key,
    attempt_id integer not null references attempt,
    -- The whole attack as JSON, beside the parts of it that are asked for.
    attack text not null check (json_valid(attack)),
    label text not null,
    norm text not null check (norm in ('linf', 'l2')),
    -- As written, such as 8/255, and as a number in pixel units.
    epsilon text not null,
    epsilon_value real not null,
    natural_correct integer not null,
    natural_total integer not null,
    robust_correct integer not null,
    robust_total integer not null,
    -- Wilson's interval at 95 %, stored because not every reader's SQLite has a square root.
    natural_low real,
    natural_high real,
    robust_low real,
    robust_high real,
    elapsed_us integer not null check (elapsed_us >= 0),
    weights text not null check (length(weights) = 64),
    recorded_at integer not null,
    unique (attempt_id, attack),
    check (natural_correct between 0 and natural_total),
    check (robust_correct between 0 and robust_total)
) strict;

-- The outcome of each image, so that two attacks can be compared image by image.
create table image_outcome (
    evaluation_id integer not null references evaluation,
    image integer not null,
    label integer not null,
    prediction integer not null,
    outcome text not null check (outcome in ('misclassified', 'broken', 'robust')),
    -- The first restart that broke the image, counted from 0.
    restart integer,
    primary key (evaluation_id, image),
    check ((outcome = 'broken') = (restart is not null))
) strict, without rowid;

-- Checkpoints from which a job can go on: of the attempts that count, and with the file at hand.
create view resume_point as
select a.job_id, c.*
from checkpoint c
join attempt a on a.attempt_id = c.attempt_id
join artifact f on f.sha256 = c.sha256
where c.role = 'resume' and c.released_at is null and not exists (
    select 1 from attempt later
    where later.job_id = a.job_id and later.attempt_id > a.attempt_id and later.first_epoch <= c.epoch
);
