#![doc = include_str!("../README.md")]

mod answer;
mod assets;
mod chart;
mod compare;
mod diff;
mod drain;
mod error;
mod event;
mod frame;
mod graph;
mod guard;
mod health;
mod job;
mod jobs;
mod known;
mod list;
mod live;
mod log;
mod metrics;
mod overview;
mod page;
mod plan;
mod plans;
mod report;
mod scale;
mod serve;
mod site;
mod stream;
mod time;
mod view;
mod words;
mod workers;

pub use live::{Later, Live, LogTail};
pub use serve::serve;
pub use site::Audience;
