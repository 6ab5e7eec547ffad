-- How the images of each class were classified, for every evaluation; the classes of some datasets differ much in size.
create view class_accuracy as
select
    a.job_id, i.evaluation_id, i.label, count(*) as total,
    sum(i.outcome <> 'misclassified') as natural_correct,
    1.0 * sum(i.outcome <> 'misclassified') / count(*) as natural_accuracy,
    sum(i.outcome = 'robust') as robust_correct,
    1.0 * sum(i.outcome = 'robust') / count(*) as robust_accuracy
from image_outcome i
join evaluation e using (evaluation_id)
join attempt a using (attempt_id)
group by i.evaluation_id, i.label;
