-- Of each attacked image the point at which it was least clearly classified correctly, and of each evaluation an audit of the images
-- that its attack handed back. All of it is null in rows from before; views show it from migration 11 on.

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
