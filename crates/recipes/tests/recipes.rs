//! Every recipe, with every switch: what users get.

use std::collections::{BTreeMap, BTreeSet};

use rrm_recipes::{Difference, Layout, PaperNumbers, Recipe, RecipeError, Side, Switch, Switches};
use rrm_spec::{
    ApgdDialect, AttackSpec, DistillationForm, JobSpec, Method, Normalization, Perturbation, Plan, PlannedJob,
    Precision, RepresentationLoss, Schedule, TrainSpec,
};

fn plan(recipe: &Recipe) -> Plan {
    recipe.plan(&Switches::default()).unwrap_or_else(|error| panic!("{}: {error}", recipe.name()))
}

fn recipe(name: &str) -> Recipe {
    Recipe::find(name).unwrap_or_else(|error| panic!("{error}"))
}

fn switched(name: &str, switches: &[&str]) -> Plan {
    let switches: Switches = switches.iter().map(|switch| switch.parse::<Switch>().unwrap()).collect();
    recipe(name).plan(&switches).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn job<'p>(plan: &'p Plan, name: &str) -> &'p PlannedJob {
    plan.jobs.iter().find(|job| job.name == name).unwrap_or_else(|| panic!("{name} is not in {}", plan.name))
}

#[track_caller]
fn training<'p>(plan: &'p Plan, name: &str) -> &'p TrainSpec {
    match &job(plan, name).spec {
        JobSpec::Train(spec) => spec,
        other => panic!("{name} is {other:?}"),
    }
}

/// A job's name without what a sweep appends.
fn written(name: &str) -> &str {
    name.split('[').next().unwrap()
}

fn turned(difference: &Difference) -> Switch {
    Switch { difference: difference.name.clone(), side: difference.follows.other() }
}

#[test]
fn every_recipe_is_a_valid_plan_of_its_own_name() {
    let names: Vec<String> = Recipe::all().iter().map(|recipe| recipe.name().to_owned()).collect();
    assert_eq!(names.len(), 20);
    for recipe in Recipe::all() {
        let plan = plan(&recipe);
        assert_eq!(plan.name, recipe.name());
        assert!(!recipe.summary().is_empty() && !recipe.cost().is_empty());
    }
}

#[test]
fn every_switch_of_every_recipe_makes_another_valid_plan_and_can_be_turned_back() {
    for recipe in Recipe::all() {
        let own = plan(&recipe);
        for difference in recipe.differences().into_iter().filter(|difference| difference.is_switchable()) {
            let turned = turned(difference);
            let other = recipe
                .plan(&[turned.clone()].into_iter().collect())
                .unwrap_or_else(|error| panic!("{turned}: {error}"));
            assert_ne!(other, own, "{} {turned}", recipe.name());
            let back = Switch { difference: difference.name.clone(), side: difference.follows };
            assert_eq!(recipe.plan(&[turned, back].into_iter().collect()).unwrap(), own);
        }
        let all =
            recipe.differences().into_iter().filter(|difference| difference.is_switchable()).map(turned).collect();
        recipe.plan(&all).unwrap_or_else(|error| panic!("{}: {error}", recipe.name()));
    }
}

#[test]
fn the_page_about_the_paper_names_every_difference() {
    let page = include_str!("../../../docs/reproduce.md");
    for recipe in Recipe::all() {
        for difference in recipe.differences() {
            assert!(page.contains(&format!("`{}`", difference.name)), "{} of {}", difference.name, recipe.name());
        }
    }
}

#[test]
fn what_is_printed_is_the_plan_with_its_differences_as_comments() {
    for recipe in Recipe::all() {
        let all: Switches =
            recipe.differences().into_iter().filter(|difference| difference.is_switchable()).map(turned).collect();
        for switches in [Switches::default(), all] {
            let text = recipe.to_toml(&switches).unwrap();
            assert_eq!(Plan::from_toml(&text).unwrap(), recipe.plan(&switches).unwrap());
            for difference in recipe.differences() {
                let side = if switches == Switches::default() || !difference.is_switchable() {
                    difference.follows
                } else {
                    difference.follows.other()
                };
                let said = format!("#   {}: the {side} is followed here", difference.name);
                assert!(text.contains(&said), "{said} is missing in {text}");
            }
        }
    }
}

#[test]
fn a_job_is_the_same_in_every_recipe_of_a_catalogue() {
    let mut known: BTreeMap<(String, String), JobSpec> = BTreeMap::new();
    for recipe in Recipe::all() {
        let size = recipe.name().split('/').next().unwrap().to_owned();
        for job in plan(&recipe.clone().with_seeds(&"0".parse().unwrap())).jobs {
            let first = known.entry((size.clone(), job.name.clone())).or_insert_with(|| job.spec.clone());
            assert_eq!(*first, job.spec, "{} in {}", job.name, recipe.name());
        }
    }
    let trainings = known.values().filter(|spec| matches!(spec, JobSpec::Train(_)));
    assert!(trainings.count() > 90);
}

#[test]
fn every_job_that_a_report_shows_is_trained_and_evaluated_where_its_accuracy_is_shown() {
    for recipe in Recipe::all() {
        let plan = plan(&recipe);
        let trained: BTreeSet<&str> = plan
            .jobs
            .iter()
            .filter(|job| matches!(job.spec, JobSpec::Train(_)))
            .map(|job| written(&job.name))
            .collect();
        let evaluated: BTreeSet<String> = plan
            .jobs
            .iter()
            .filter(|job| matches!(job.spec, JobSpec::Evaluate(_)))
            .map(|job| written(&job.spec.needs()[0].job.to_string()).to_owned())
            .collect();
        let (jobs, points): (Vec<&String>, Vec<&String>) = match recipe.layout() {
            Layout::Table(table) => (table.rows.iter().map(|row| &row.job).collect(), Vec::new()),
            Layout::Figure(figure) => (
                figure.series.iter().flat_map(|series| &series.jobs).collect(),
                figure.series.iter().flat_map(|series| &series.paper).map(|point| &point.job).collect(),
            ),
        };
        assert!(!jobs.is_empty());
        let only_times = ["table9", "table10", "fig3"].iter().any(|name| recipe.name().ends_with(name));
        for job in &jobs {
            assert!(trained.contains(job.as_str()), "{job} of {}", recipe.name());
            assert_eq!(evaluated.contains(job.as_str()), !only_times, "{job} of {}", recipe.name());
        }
        assert!(points.iter().all(|point| jobs.contains(point)), "{}", recipe.name());
    }
}

fn numbers(recipe_name: &str, job: &str) -> PaperNumbers {
    match recipe(recipe_name).layout() {
        Layout::Table(table) => table.rows.iter().find(|row| row.job == job).map(|row| row.paper.clone()),
        Layout::Figure(figure) => {
            let mut points = figure.series.iter().flat_map(|series| &series.paper);
            points.find(|point| point.job == job).map(|point| point.numbers.clone())
        }
    }
    .unwrap_or_else(|| panic!("{job} is not in {recipe_name}"))
}

#[test]
fn the_papers_numbers_stand_in_the_reports() {
    let sat = PaperNumbers {
        epochs: Some(150),
        epoch_s: Some(723.03),
        epoch_half_width_s: Some(0.88),
        training_min: Some(1807.58),
        with_teacher_min: None,
        natural: Some(85.50),
        robust: Some(48.38),
    };
    assert_eq!(numbers("paper/table1", "linf-resnet50-sat"), sat);
    assert_eq!(numbers("paper/table1", "linf-resnet50-rrm-resnet18").robust, Some(48.67));
    let rdt = numbers("paper/table2", "l2-resnet50-rdt-resnet18");
    assert_eq!((rdt.natural, rdt.robust), (Some(80.47), Some(1.22)));
    let vgg16 = numbers("paper/table3", "imagenet-vgg16-sat");
    assert_eq!((vgg16.epoch_s, vgg16.training_min), (Some(9600.6), Some(24000.6)));
    assert_eq!(numbers("paper/table8", "linf-resnet18-fast").robust, Some(51.30));
    assert_eq!(numbers("paper/table9", "linf-resnet50-rrm-resnet18").with_teacher_min, Some(91.77));
    assert_eq!(numbers("paper/table10", "imagenet-resnet50-rrm-alexnet").with_teacher_min, Some(2801.4));
    assert_eq!(numbers("paper/fig2", "linf-resnet50-free-half").natural, Some(71.28));
    assert_eq!(numbers("paper/fig3", "linf-resnet50-fast").training_min, Some(192.77));
    assert_eq!(numbers("paper/fig5", "l2-vgg11-rrm-resnet50").robust, Some(23.74));
    assert_eq!(numbers("paper/section7.2", "imagenet-alexnet-rrm-resnet50").natural, Some(78.11));
}

#[test]
fn table_1_is_trained_as_the_authors_trained_it() {
    let plan = plan(&recipe("paper/table1"));
    assert_eq!(plan.jobs.len(), 8 + 6);
    let sat = training(&plan, "linf-resnet50-sat");
    let steps = Schedule::Step { milestones: vec![50, 100], factor: 0.1 };
    assert_eq!((sat.epochs.get(), &sat.optimizer.schedule), (150, &steps));
    assert_eq!((sat.normalization(), sat.precision), (Normalization::Cifar10Madry, Precision::F32));
    let student = training(&plan, "linf-resnet50-rrm-vgg11");
    let rates = (student.optimizer.learning_rate, student.optimizer.momentum, student.optimizer.weight_decay);
    assert_eq!((student.epochs.get(), rates, student.precision), (48, (0.1, 0.9, 5e-4), Precision::Bf16));
    let free = training(&plan, "linf-resnet50-free");
    let Method::FreeAdversarialTraining { replays, perturbation, .. } = &free.method else { panic!("{free:?}") };
    assert_eq!((free.epochs.get() * replays.get(), *perturbation), (96, Perturbation::Carried));
    let JobSpec::Evaluate(attacked) = &job(&plan, "linf-resnet50-sat-apgd-50x10").spec else { panic!() };
    assert_eq!(attacked.attack.label(), "APGD-CE (ART) 50x10");
}

#[test]
fn table_2_has_teachers_images_and_students_of_both_architectures() {
    let plan = plan(&recipe("paper/table2"));
    let needs = |name: &str| job(&plan, name).spec.needs().iter().map(|need| need.job.to_string()).collect::<Vec<_>>();
    assert_eq!(needs("l2-resnet50-rdt-vgg11"), ["l2-vgg11-images"]);
    assert_eq!(needs("l2-vgg11-images"), ["l2-vgg11-sat"]);
    assert_eq!(needs("l2-resnet50-kd-resnet18"), ["l2-resnet18-sat-t30"]);
    assert_eq!(needs("l2-resnet50-rrm-resnet18"), ["l2-resnet18-sat"]);
    // E1 is missing: no row of this table is of it. Seven are evaluated.
    assert_eq!(plan.jobs.len(), 1 + 2 + 2 + 2 + 2 + 2 + 2 + 7);
    let student = training(&plan, "l2-resnet50-kd-vgg11");
    assert_eq!((student.temperature, training(&plan, "l2-vgg11-sat-t30").temperature), (30.0, 30.0));
}

#[test]
fn switches_do_what_they_say() {
    let epochs = |switches: &[&str]| training(&switched("paper/fig5", switches), "l2-dnn-rrm-resnet50").epochs.get();
    assert_eq!((epochs(&[]), epochs(&["student-epochs=code"]), epochs(&["student-epochs=paper"])), (48, 100, 48));

    let softened = switched("paper/table2", &["kd-loss=paper", "kd-schedule=code"]);
    let student = training(&softened, "l2-resnet50-kd-vgg11");
    let Method::KnowledgeDistillation { temperature, form, teacher, .. } = &student.method else {
        panic!("{student:?}")
    };
    assert_eq!((student.temperature, *temperature, *form), (30.0, 30.0, DistillationForm::Paper));
    assert_eq!(student.optimizer.schedule, Schedule::Cosine);
    assert_eq!(job_name(teacher), "l2-vgg11-sat-t30");
    assert_eq!(training(&softened, "l2-vgg11-sat-t30").temperature, 30.0);

    let reset = switched("paper/table1", &["free-at-delta=paper", "momentum-cycle=paper", "attack-dialect=paper"]);
    let free = training(&reset, "linf-resnet50-free-half");
    let Method::FreeAdversarialTraining { perturbation, .. } = &free.method else { panic!("{free:?}") };
    assert_eq!(*perturbation, Perturbation::Reset);
    assert_eq!(free.optimizer.schedule, Schedule::Triangular { peak_momentum: None });
    let JobSpec::Evaluate(attacked) = &job(&reset, "linf-resnet50-free-half-apgd-50x10").spec else { panic!() };
    let AttackSpec::Apgd(attack) = &attacked.attack else { panic!("{attacked:?}") };
    assert_eq!(attack.dialect, ApgdDialect::Reference);

    let decay =
        |switches: &[&str], name: &str| training(&switched("paper/section7.2", switches), name).optimizer.weight_decay;
    assert_eq!(decay(&[], "l2-dnn-rrm-resnet50"), 5e-5);
    assert_eq!(decay(&["weight-decay=paper"], "l2-dnn-rrm-resnet50"), 5e-4);
    assert_eq!(decay(&["weight-decay=paper"], "imagenet-alexnet-rrm-resnet50"), 1e-4);

    let undivided = switched("paper/section7.2", &["representation-loss=paper"]);
    for (student, expected) in
        [("imagenet-alexnet-rrm-resnet50", RepresentationLoss::L2), ("l2-dnn-rrm-resnet50", RepresentationLoss::Cosine)]
    {
        let Method::Rrm { representation_loss, .. } = training(&undivided, student).method else { panic!("{student}") };
        assert_eq!(representation_loss, expected, "{student}");
    }
}

fn job_name(teacher: &rrm_spec::ModelSource) -> String {
    match teacher {
        rrm_spec::ModelSource::Job(job) => job.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn seeds_repeat_every_training_with_a_teacher_of_the_same_seed() {
    let plan = plan(&recipe("paper/table1").with_seeds(&"0..2".parse().unwrap()));
    assert_eq!(plan.jobs.len(), 2 * (8 + 6));
    let student = job(&plan, "linf-resnet50-rrm-vgg11[seed=1]");
    assert_eq!(student.spec.needs()[0].job.to_string(), "linf-vgg11-fast[seed=1]");
    assert_eq!((training(&plan, &student.name).seed, training(&plan, "linf-vgg11-fast[seed=1]").seed), (1, 1));
    let one = self::plan(&recipe("cpu/table1").with_seeds(&"4".parse().unwrap()));
    assert_eq!(training(&one, "linf-resnet50-rrm-vgg11").seed, 4);
}

#[test]
fn settings_reach_the_plan_and_make_it_invalid_if_they_must() {
    let set = |text: &str| recipe("paper/table1").with_settings([text.parse().unwrap()]).plan(&Switches::default());
    assert_eq!(training(&set("linf-resnet50-sat.epochs=120").unwrap(), "linf-resnet50-sat").epochs.get(), 120);
    assert_eq!(training(&set("*.precision=f32").unwrap(), "linf-vgg11-fast").precision, Precision::F32);
    let Err(RecipeError::Plan(faults)) = set("linf-resnet50-sat.epochs=10") else {
        panic!("milestones beyond the end")
    };
    assert!(faults.to_string().contains("milestones"), "{faults}");
}

#[test]
fn an_unknown_name_is_answered_with_those_that_there_are() {
    let unknown = Recipe::find("paper/table11").unwrap_err().to_string();
    assert!(unknown.contains("paper/table1, ") && unknown.contains("cpu/fig5"), "{unknown}");
    let hyperparameters = Recipe::find("paper/table4").unwrap_err().to_string();
    assert!(hyperparameters.contains("hyperparameters of adversarial training"), "{hyperparameters}");
    let switch = |text: &str| {
        let switches = [text.parse::<Switch>().unwrap()].into_iter().collect();
        recipe("paper/table1").plan(&switches).unwrap_err().to_string()
    };
    let unknown = switch("rdt-schedule=code");
    assert!(
        unknown.contains("free-at-delta") && unknown.contains("attack-dialect") && !unknown.contains("precision"),
        "{unknown}"
    );
    let fp16 = switch("precision=code");
    assert!(fp16.contains("no training is in fp16"), "{fp16}");
}

#[test]
fn the_side_that_is_followed_may_be_asked_for_even_where_there_is_no_other() {
    let own = plan(&recipe("paper/table1"));
    assert_eq!(switched("paper/table1", &["precision=paper", "fast-at=code"]), own);
    let precision = recipe("paper/table1").differences().into_iter().find(|difference| difference.name == "precision");
    assert_eq!(precision.unwrap().follows, Side::Paper);
}

#[test]
fn two_cores_need_no_pictures_and_repeat_everything_three_times() {
    for recipe in Recipe::all().into_iter().filter(|recipe| recipe.name().starts_with("cpu/")) {
        assert_eq!(recipe.datasets().into_iter().collect::<Vec<_>>(), ["cifar10"], "{}", recipe.name());
        let plan = plan(&recipe);
        for job in &plan.jobs {
            assert!(job.name.contains("seed="), "{}", job.name);
            if let JobSpec::Train(spec) = &job.spec {
                assert!(spec.arch.width_divisor() >= 8 && spec.dataset.train_images.is_some(), "{}", job.name);
            }
        }
    }
}
