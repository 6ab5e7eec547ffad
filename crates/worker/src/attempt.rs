//! An attempt from its assignment to its settlement: fetch, spawn, forward, settle.

mod keep;
#[cfg(test)]
mod tests;
mod trainer;

use std::{
    io,
    sync::{Arc, Mutex},
};

use rrm_api::AttemptEnd;
use rrm_spec::{Assignment, AttemptOutcome};
use tokio::sync::watch;

use crate::{
    deliver::{Courier, Delivery, Outbox},
    logs::Extent,
    outcome::end_by,
    roster::{Order, Place},
    spool::{Folders, Spool},
    workshop::Workshop,
};
use trainer::Trainer;

/// Runs an attempt and hands it over. When this returns nothing of it is left here.
pub(crate) async fn run(shop: &Workshop, assignment: Assignment, place: Place) {
    let attempt = assignment.attempt;
    tracing::info!(job = %assignment.job, %attempt, device = %assignment.device, name = assignment.name, "begins");
    let folders = Folders::new(&shop.config.work_dir, attempt);
    let (outbox, outgoing) = watch::channel(Outbox::default());
    let (extent, log) = watch::channel(Extent::default());
    let courier = Courier { client: &shop.client, folders: &folders };

    let (told, delivered) = (
        async {
            let (end, log_extent) = train(shop, &assignment, &folders, &place, &outbox, extent).await;
            tracing::info!(%attempt, outcome = end.outcome.name(), message = end.message, "ends");
            outbox.send_modify(|outbox| outbox.end = Some(end));
            // The log is copied to its end only if that end is known.
            log_extent.send_modify(|extent| extent.closed = true);
        },
        deliver(&courier, &place, outgoing, log),
    );
    let ((), delivery) = tokio::join!(told, delivered);
    match delivery {
        Delivery::Settled | Delivery::LeaseLost => {}
        Delivery::Refused(refusal) => courier.give_up(&refusal).await,
    }
    if let Err(error) = folders.remove() {
        tracing::warn!(%attempt, %error, "its files cannot be removed; the next start of this worker tries again");
    }
}

/// Trains to an end that is on disk.
async fn train(
    shop: &Workshop,
    assignment: &Assignment,
    folders: &Folders,
    place: &Place,
    outbox: &watch::Sender<Outbox>,
    extent: watch::Sender<Extent>,
) -> (AttemptEnd, watch::Sender<Extent>) {
    let spool = match blocking({
        let folders = folders.clone();
        move || folders.create().and_then(|()| Spool::create(&folders))
    })
    .await
    {
        Ok(spool) => Arc::new(Mutex::new(spool)),
        Err(error) => return (disk_fault(&error), extent),
    };
    let trainer = Trainer { shop, assignment, folders, place, outbox, spool: Arc::clone(&spool) };
    let end = trainer.run(&extent).await;
    let noted = blocking({
        let end = end.clone();
        move || spool.lock().map_err(|_| io::Error::other("the spool broke"))?.end(&end)
    })
    .await;
    if let Err(error) = noted {
        tracing::warn!(%error, "the attempt's end is not on disk");
    }
    (end, extent)
}

/// Delivers until everything is handed over or the attempt is given up.
async fn deliver(
    courier: &Courier<'_>,
    place: &Place,
    outgoing: watch::Receiver<Outbox>,
    log: watch::Receiver<Extent>,
) -> Delivery {
    let mut orders = place.orders.clone();
    let delivery = tokio::select! {
        delivery = courier.deliver(outgoing, log) => delivery,
        // The sender lives in the roster as long as the place does.
        _ = orders.wait_for(|order| *order == Order::Abandon) => Delivery::LeaseLost,
    };
    match &delivery {
        Delivery::Settled => {}
        Delivery::LeaseLost => {
            tracing::warn!(attempt = %place.attempt, "is no longer this worker's: nothing more is reported");
            place.abandon();
        }
        Delivery::Refused(_) => place.abandon(),
    }
    delivery
}

fn disk_fault(error: &io::Error) -> AttemptEnd {
    end_by(AttemptOutcome::WorkerError, format!("the worker's disk: {error}"))
}

/// Work with files beside the runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
