//! The daemon through its calls, with a real database and real files in a folder of its own.

mod access;
mod artifact;
mod backup;
mod control;
mod desk;
mod lease;
mod life;
mod log;
mod program;
mod watch;
