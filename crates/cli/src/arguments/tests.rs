use clap::CommandFactory;
use rrm_spec::JobState;

use super::*;
use crate::selector::{JobSelector, PlanSelector};

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split_whitespace())
}

#[test]
fn the_command_line_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_has_examples_in_its_help() {
    let mut open = vec![Arguments::command()];
    while let Some(mut command) = open.pop() {
        let help = command.render_long_help().to_string();
        let needs_none = matches!(
            command.get_name(),
            "version" | "help" | "worker" | "model" | "data" | "recipe" | "export" | "admin" | "token" | "manual"
        );
        assert!(needs_none || help.contains("Examples:"), "{}", command.get_name());
        assert!(command.get_about().is_some(), "{}", command.get_name());
        open.extend(command.get_subcommands().cloned());
    }
}

#[test]
fn global_options_may_stand_before_and_behind_the_command() {
    for line in ["rrm --json list", "rrm list --json"] {
        assert_eq!(parse(line).unwrap().global.format(), Format::Json, "{line}");
    }
    assert_eq!(parse("rrm -q list").unwrap().global.format(), Format::Ids);
    assert!(parse("rrm list --json --quiet").is_err());
}

#[test]
fn lists_filter_by_several_states() {
    let Command::List(list) = parse("rrm list --state failed --state running --plan last").unwrap().command else {
        panic!("another command")
    };
    assert_eq!(list.state, [JobState::Failed, JobState::Running]);
    assert_eq!(list.plan, Some(PlanSelector::Last));
    let error = parse("rrm list --state broken").unwrap_err().to_string();
    assert!(error.contains("waiting, queued"), "{error}");
}

#[test]
fn waiting_needs_jobs_or_a_plan() {
    assert!(parse("rrm wait").is_err());
    assert!(parse("rrm wait 12-20 @student").is_ok());
    assert!(parse("rrm wait --plan last --timeout 5m").is_ok());
    assert_eq!(parse("rrm cancel").unwrap_err().exit_code(), 2);
}

#[test]
fn a_dry_run_neither_waits_nor_has_a_name() {
    assert!(parse("rrm submit plan.toml --dry-run").is_ok());
    assert!(parse("rrm submit plan.toml --dry-run --wait").is_err());
    assert!(parse("rrm submit plan.toml --dry-run --request-id abcdefgh").is_err());
    assert!(parse("rrm submit plan.toml --request-id short").is_err());
}

#[test]
fn datasets_are_checked_before_anything_is_fetched() {
    assert!(parse("rrm data fetch fashion-mnist --data-dir x").is_ok());
    assert_eq!(parse("rrm data fetch mnist").unwrap_err().exit_code(), 2);
}

#[test]
fn a_recipe_stands_instead_of_a_plan() {
    let Command::Submit(submit) =
        parse("rrm submit --recipe cpu/table1 --switch a=paper --switch b=code --seeds 1..=2").unwrap().command
    else {
        panic!("another command")
    };
    assert_eq!((submit.plan, submit.recipe.as_deref()), (None, Some("cpu/table1")));
    assert_eq!((submit.changes.switches.len(), submit.changes.seeds.unwrap().as_slice()), (2, &[1, 2][..]));
    assert!(parse("rrm submit plan.toml --recipe cpu/table1").is_err());
    assert!(parse("rrm submit plan.toml --set a.epochs=1").is_err());
    assert!(parse("rrm submit").is_err());
}

#[test]
fn a_report_is_of_a_plan_or_of_what_is_suspicious_about_a_network() {
    let report = |line: &str| match parse(line).unwrap().command {
        Command::Report(report) => report,
        other => panic!("{other:?}"),
    };
    let Some(ReportKind::Suspicion(suspicion)) = report("rrm report --json suspicion 12").kind else {
        panic!("another report")
    };
    assert_eq!(suspicion.job, JobSelector::Id(rrm_spec::JobId(12)));
    assert!(report("rrm report 3").kind.is_none() && report("rrm report").kind.is_none());
    assert!(parse("rrm report suspicion").is_err());
}

#[test]
fn wishes_about_jobs_name_jobs_or_a_plan() {
    for command in ["hold", "release", "priority 3", "preempt", "retry"] {
        assert_eq!(parse(&format!("rrm {command}")).unwrap_err().exit_code(), 2, "{command}");
        assert!(parse(&format!("rrm {command} 12-20 @student")).is_ok(), "{command}");
        assert!(parse(&format!("rrm {command} --plan last")).is_ok(), "{command}");
    }
    let Command::Priority(priority) = parse("rrm priority -5 12").unwrap().command else { panic!("another command") };
    assert_eq!((priority.priority, priority.jobs.jobs.len()), (-5, 1));
    assert!(parse("rrm priority high 12").is_err());
    let error = parse("rrm retry 12 --time-limit long").unwrap_err().to_string();
    assert!(error.contains("such as 90s"), "{error}");
}

#[test]
fn whoever_takes_jobs_is_told_of_every_way_to_name_them() {
    let command = Arguments::command();
    for name in ["wait", "cancel", "hold", "release", "priority", "preempt", "retry"] {
        let help = command.find_subcommand(name).unwrap().clone().render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains("ids, ranges (12-20), names (@student) and plans (plan:3)"), "{name}: {help}");
    }
}

#[test]
fn requests_that_must_not_come_twice_can_be_named() {
    for command in ["submit plan.toml", "retry 12", "preempt 12"] {
        assert!(parse(&format!("rrm {command} --request-id demo-0001")).is_ok(), "{command}");
    }
}

#[test]
fn workers_are_drained_by_id_or_by_machine() {
    let target = |line: &str| match parse(line).unwrap().command {
        Command::Worker(WorkerCommand::Drain(arguments)) => (arguments.target.clone(), arguments.how.how()),
        other => panic!("{other:?}"),
    };
    use rrm_spec::{DrainHow, DrainTarget, WorkerId};
    assert_eq!(target("rrm worker drain 7"), (DrainTarget::Worker(WorkerId(7)), DrainHow::Finish));
    assert_eq!(target("rrm worker drain node1 --now"), (DrainTarget::Node("node1".into()), DrainHow::Now));
    assert!(parse("rrm worker drain").is_err());
}
