-- Evaluations in l1. SQLite cannot alter a check, so the table is made anew, and with it the one that refers to it.
create table evaluation_next (
    evaluation_id integer primary key,
    attempt_id integer not null references attempt,
    -- The whole attack as JSON, beside the parts of it that are asked for.
    attack text not null check (json_valid(attack)),
    label text not null,
    norm text not null check (norm in ('linf', 'l2', 'l1')),
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

insert into evaluation_next select * from evaluation;

-- The outcome of each image, so that two attacks can be compared image by image.
create table image_outcome_next (
    evaluation_id integer not null references evaluation_next,
    image integer not null,
    label integer not null,
    prediction integer not null,
    outcome text not null check (outcome in ('misclassified', 'broken', 'robust')),
    -- The first restart that broke the image, counted from 0.
    restart integer,
    primary key (evaluation_id, image),
    check ((outcome = 'broken') = (restart is not null))
) strict, without rowid;

insert into image_outcome_next select * from image_outcome;
drop table image_outcome;
drop table evaluation;

-- Views go on to name the tables; what refers to a renamed table follows it.
pragma legacy_alter_table = on;
alter table evaluation_next rename to evaluation;
alter table image_outcome_next rename to image_outcome;
pragma legacy_alter_table = off;
