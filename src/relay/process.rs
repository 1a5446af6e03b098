//! The relay's process, and the delivery of what one has left.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value};

use super::create;
use super::deliver::{self, Delivery};
use super::keeper::{FromRelay, ToRelay};
use super::record::{Call, Entry};
use super::serve::Service;
use super::shared::Shared;
use super::spool::Spool;
use super::unheard::Unheard;
use super::upstream::Upstream;
use super::used::Used;
use super::view::View;
use super::{Error, Finish, Pending, Task};
use crate::support::platform;

/// How often what was written is brought to the disk.
const SYNC: Duration = Duration::from_millis(100);

/// Runs a relay in this process, to its end.
///
/// Standard input is the listening socket and standard output the control socket of the [`super::Keeper`] that started it: the first line
/// from there is the [`Task`]. When the keeper is gone, so is the relay; what is spooled stays for whoever comes next.
pub fn run() -> Result<(), Error> {
    // Signals for the job's session are not for us: the relay outlives the job's processes to deliver what they wrote.
    platform::new_session();
    let listener: TcpListener = std::io::stdin().as_fd().try_clone_to_owned().map_err(Error::Listen)?.into();
    let control: UnixStream = std::io::stdout().as_fd().try_clone_to_owned().map_err(Error::Listen)?.into();
    let mut lines = BufReader::new(control.try_clone().map_err(Error::Listen)?);
    let mut first = String::new();
    lines.read_line(&mut first).map_err(Error::Listen)?;
    let task: Task = serde_json::from_str(&first).map_err(|error| Error::Listen(error.into()))?;
    drop(first);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Listen)?;
    runtime.block_on(serve(task, listener, control, lines))
}

/// Opens the spool and everything that stands on it.
fn open(task: &Task) -> Result<(Shared, Unheard), Error> {
    let mut view = View::default();
    let mut last = std::collections::BTreeMap::new();
    let mut spool = Spool::open(&task.folder, |record| {
        view.apply(record);
        if record.connection != 0 {
            last.insert(record.connection, (record.at, record.entry.clone()));
        }
    })?;
    if let Some(injected) = &task.injected {
        view.inject(&injected.run, &injected.experiment);
    }
    if spool.next() == 1 {
        // Whoever delivers later knows by this which run is whose.
        spool.append(0, Entry::View(Box::new(view.to_value())))?;
    }
    let upstream = Upstream::new(task.uri.as_deref(), &task.credentials, task.limits.stall)?;
    Ok((Shared::new(upstream, task.limits, spool, view), Unheard::new(last.into_values())))
}

async fn serve(task: Task, listener: TcpListener, control: UnixStream, lines: BufReader<UnixStream>) -> Result<(), Error> {
    let (shared, unheard) = open(&task)?;
    let shared = Arc::new(shared);
    let service = Arc::new(Service {
        shared: shared.clone(),
        token: task.token.clone(),
        spools: task.spools,
        unheard,
        uploads: AtomicU64::new(0),
        used: Used::new(&task.folder),
    });
    listener.set_nonblocking(true).map_err(Error::Listen)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(Error::Listen)?;
    let mut finish = orders(lines);
    say(&control, &FromRelay::Ready);
    let syncing = tokio::spawn(sync_regularly(shared.clone()));
    let learning = tokio::spawn(learn(shared.clone()));
    let mut delivery = Delivery::new(&shared);
    let accepting = accept(listener, service, shared.books(|books| books.spool.next()) << 20);
    let order = tokio::select! {
        order = finish.recv() => order,
        error = std::mem::replace(&mut delivery, Delivery::new(&shared)).run(&shared) => return Err(error),
        () = accepting => None,
    };
    let Some(order) = order else {
        // The keeper is gone; what is in the spool is in its files.
        return Ok(());
    };
    let finish = match &order {
        ToRelay::Finish(finish) => Some(finish),
        ToRelay::Drain => None,
    };
    let left = close(&shared, finish, task.limits.drain).await;
    syncing.abort();
    learning.abort();
    if let Some(file) = shared.books(|books| books.spool.unsynced()) {
        let _ = file.sync_data();
    }
    say(&control, &FromRelay::Left(left));
    Ok(())
}

/// Reads the keeper's orders on a thread of its own; the channel ends with the keeper.
fn orders(mut lines: BufReader<UnixStream>) -> tokio::sync::mpsc::Receiver<ToRelay> {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
            if let Ok(order) = serde_json::from_str(&line) {
                let _ = sender.blocking_send(order);
            }
            line.clear();
        }
    });
    receiver
}

fn say(mut control: &UnixStream, message: &FromRelay) {
    let mut line = serde_json::to_vec(message).expect("plain data of ours always serialises");
    line.push(b'\n');
    // A keeper that is gone needs no answer.
    let _ = control.write_all(&line);
}

async fn sync_regularly(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(SYNC).await;
        if let Some(file) = shared.books(|books| books.spool.unsynced()) {
            let _ = tokio::task::spawn_blocking(move || file.sync_data()).await;
        }
    }
}

/// Asks the server once about itself, so that a client can be told while it is away.
async fn learn(shared: Arc<Shared>) {
    for path in ["/version", "/api/3.0/mlflow/server-info"] {
        let answer = shared.upstream.call(&reqwest::Method::GET, path, &reqwest::header::HeaderMap::new(), bytes::Bytes::new()).await;
        if let Ok(answer) = answer
            && answer.status.is_success()
            && let Ok(text) = std::str::from_utf8(&answer.body)
        {
            shared.books(|books| books.view.see_server(path, text));
        }
    }
}

/// Takes connections and answers on them; connections get numbers from `base` on.
async fn accept(listener: tokio::net::TcpListener, service: Arc<Service>, base: u64) {
    let numbers = AtomicU64::new(base + 1);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, say: others will be given back.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (service, number) = (service.clone(), numbers.fetch_add(1, Ordering::Relaxed));
        tokio::spawn(async move {
            let answering = service_fn(|request| service.answer(number, request));
            // A client that goes away in the middle is its own business.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answering).await;
        });
    }
}

/// Writes how it ends, unless that is in the spool already, and delivers within a time; returns what is left.
async fn close(shared: &Shared, finish: Option<&Finish>, within: Duration) -> Pending {
    let finish = finish.filter(|_| !shared.books(|books| books.view.is_closed()));
    if let Some(finish) = finish {
        let settling = create::settle(shared, &finish.status, finish.end_time);
        let _ = tokio::time::timeout(within.min(Duration::from_secs(10)), settling).await;
    }
    let unwritten = finish.map(|finish| end(shared, finish)).unwrap_or_default();
    let mut left = Delivery::new(shared).drain(shared, within).await;
    if left.records == 0 {
        // A disk without room took no record of these: they go straight to the tracker, after everything else.
        for call in unwritten {
            left.records += u64::from(!deliver::send_directly(shared, &call).await);
        }
    } else {
        left.records += unwritten.len() as u64;
    }
    left
}

/// Writes the ends of runs that the job's client left open, then of the job's own as the last record; returns those that could not be written.
fn end(shared: &Shared, finish: &Finish) -> Vec<Call> {
    shared.books(|books| {
        let mut ends = books.view.left_open();
        ends.push(finish.run_id.clone());
        let calls = ends.into_iter().map(|run_id| {
            let mut body = Map::new();
            body.insert("run_id".into(), run_id.into());
            body.insert("status".into(), finish.status.clone().into());
            body.insert("end_time".into(), Value::from(finish.end_time));
            Call { path: "/api/2.0/mlflow/runs/update".into(), body }
        });
        let unwritten: Vec<Call> = calls.filter(|call| books.append(0, Entry::Call(call.clone())).is_err()).collect();
        if unwritten.is_empty() {
            // Without this record the end is only written once more, by whoever delivers later.
            let _ = books.append(0, Entry::Ended);
        }
        unwritten
    })
}

/// Delivers what a relay has left in its spool, within the task's `drain`, with the job's end when that is not in it yet.
///
/// Returns what is left. A spool that another process has is an error.
pub async fn sync(task: &Task, finish: Option<&Finish>) -> Result<Pending, Error> {
    let (shared, _) = open(task)?;
    let left = close(&shared, finish, task.limits.drain).await;
    if let Some(file) = shared.books(|books| books.spool.unsynced()) {
        let _ = file.sync_data();
    }
    Ok(left)
}
