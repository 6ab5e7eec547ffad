//! Whole-system tests: the real binaries on loopback, from a plan to a report, through every kind of sudden death.

#[path = "system/browser.rs"]
mod browser;
#[path = "system/database.rs"]
mod database;
#[path = "system/lab.rs"]
mod lab;
#[path = "system/pictures.rs"]
mod pictures;
#[path = "system/process.rs"]
mod process;

#[path = "system/access.rs"]
mod access;
#[path = "system/child.rs"]
mod child;
#[path = "system/control.rs"]
mod control;
#[path = "system/demo.rs"]
mod demo;
#[path = "system/faults.rs"]
mod faults;
#[path = "system/follow.rs"]
mod follow;
#[path = "system/foreign.rs"]
mod foreign;
#[path = "system/kill.rs"]
mod kill;
#[path = "system/main_job.rs"]
mod main_job;
#[path = "system/model.rs"]
mod model;
#[path = "system/pages.rs"]
mod pages;
#[path = "system/placement.rs"]
mod placement;
#[path = "system/records.rs"]
mod records;
#[path = "system/refusals.rs"]
mod refusals;
