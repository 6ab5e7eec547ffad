//! Pages over HTTP, from a database that hostile plans, workers and logs have filled.

mod desk;
mod metrics;
mod page;
mod stream;
mod wish;
