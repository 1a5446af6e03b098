//! The connections of one link, each passed on to the relay.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::frames::Frame;
use crate::engine::{Ends, Piece};

/// Bytes of one connection that may be under way, as `templates/forward.py` has it.
const WINDOW: usize = 1 << 20;
/// Bytes that are passed on at once.
const PIECE: usize = 64 << 10;
/// Frames that wait for the engine.
const WAITING: usize = 16;

/// One connection, as the link sees it.
struct Connection {
    /// What came from the job; dropped when no more comes.
    come: Option<mpsc::UnboundedSender<Bytes>>,
    /// How many bytes may go to the job.
    credit: Arc<Semaphore>,
}

type Connections = Arc<Mutex<HashMap<u32, Connection>>>;

/// Passes connections on until the link breaks, and returns what came that was no frame. `ready` is called once the other side listens.
pub(super) async fn pass(ends: Ends, relay: SocketAddr, mut ready: impl FnMut()) -> Option<String> {
    let Ends { mut output, mut input } = ends;
    let connections = Connections::default();
    let (to_job, mut frames) = mpsc::channel::<Frame>(WAITING);
    // They end with this function.
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some(frame) = frames.recv().await {
            if input.write_all(&frame.bytes()).await.is_err() || input.flush().await.is_err() {
                break;
            }
        }
    });
    let (mut come, mut said) = (BytesMut::new(), Vec::new());
    while let Some(Ok(piece)) = output.next().await {
        match piece {
            Piece::Out(bytes) => come.extend_from_slice(&bytes),
            Piece::Err(bytes) => said.extend_from_slice(&bytes),
        }
        while let Ok(Some(frame)) = Frame::take(&mut come) {
            let mut known = connections.lock().unwrap_or_else(PoisonError::into_inner);
            match frame {
                Frame::Ready => ready(),
                Frame::Opened(number) => {
                    let (sender, receiver) = mpsc::unbounded_channel();
                    let credit = Arc::new(Semaphore::new(WINDOW));
                    known.insert(number, Connection { come: Some(sender), credit: credit.clone() });
                    let (connections, to_job) = (connections.clone(), to_job.clone());
                    tasks.spawn(async move {
                        connect(number, relay, receiver, &credit, &to_job).await;
                        connections.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
                    });
                }
                Frame::Data(number, data) => {
                    if let Some(come) = known.get(&number).and_then(|connection| connection.come.as_ref()) {
                        // One whose end is gone is told of by its own task.
                        let _ = come.send(data);
                    }
                }
                Frame::Taken(number, count) => {
                    if let Some(connection) = known.get(&number) {
                        connection.credit.add_permits(count as usize);
                    }
                }
                Frame::Ended(number) => drop(known.get_mut(&number).and_then(|connection| connection.come.take())),
            }
        }
    }
    let said = String::from_utf8_lossy(&said).lines().last().map(str::to_owned);
    said.filter(|line| !line.is_empty())
}

/// Passes one connection on, in both directions, to its end.
async fn connect(
    number: u32,
    relay: SocketAddr,
    mut come: mpsc::UnboundedReceiver<Bytes>,
    credit: &Semaphore,
    to_job: &mpsc::Sender<Frame>,
) {
    let Ok(stream) = TcpStream::connect(relay).await else {
        // The relay's socket outlives its process; this is the end of both.
        let _ = to_job.send(Frame::Ended(number)).await;
        return;
    };
    let _ = stream.set_nodelay(true);
    let (mut from_relay, mut to_relay) = stream.into_split();
    let upward = async {
        while let Some(data) = come.recv().await {
            if to_relay.write_all(&data).await.is_err() {
                break;
            }
            let count = u32::try_from(data.len()).expect("frames are small");
            if to_job.send(Frame::Taken(number, count)).await.is_err() {
                break;
            }
        }
        let _ = to_relay.shutdown().await;
    };
    let downward = async {
        let mut piece = vec![0; PIECE];
        while let Ok(count @ 1..) = from_relay.read(&mut piece).await {
            let Ok(permits) = credit.acquire_many(u32::try_from(count).expect("pieces are small")).await else { break };
            permits.forget();
            if to_job.send(Frame::Data(number, Bytes::copy_from_slice(&piece[..count]))).await.is_err() {
                break;
            }
        }
        let _ = to_job.send(Frame::Ended(number)).await;
    };
    tokio::join!(upward, downward);
}
