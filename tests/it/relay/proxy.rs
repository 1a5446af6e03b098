//! A proxy between relay and tracker that breaks what it is told to break.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::strict::{Request, read_request};

/// What happens to requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They pass.
    None,
    /// Nothing listens.
    Refuse,
    /// They reach the tracker, and the answer breaks off in its middle.
    Reset,
    /// They reach the tracker, and no answer comes back while this lasts.
    Stall,
    /// They do not reach the tracker: this status comes back, with `Retry-After` for 429.
    Status(u16),
    /// They reach the tracker, and the answer comes back as half of its JSON, well framed.
    Truncate,
    /// They do not reach the tracker: a page to log in comes back, with 200.
    Page,
}

/// The proxy; it ends with this value.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: u16,
    fault: Mutex<Fault>,
    over: AtomicBool,
}

impl Shared {
    fn fault(&self) -> Fault {
        *self.fault.lock().expect("no panic")
    }
}

impl Proxy {
    pub(crate) fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared { upstream, fault: Mutex::new(Fault::None), over: AtomicBool::new(false) });
        let own = shared.clone();
        std::thread::spawn(move || listen(listener, port, &own));
        Self { port, shared }
    }

    pub(crate) fn uri(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Breaks requests from now on in this way.
    pub(crate) fn set(&self, fault: Fault) {
        *self.shared.fault.lock().expect("no panic") = fault;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
    }
}

/// Accepts connections; while connections shall be refused there is no listener at all.
fn listen(listener: TcpListener, port: u16, shared: &Arc<Shared>) {
    let mut listener = Some(listener);
    while !shared.over.load(Ordering::SeqCst) {
        if shared.fault() == Fault::Refuse {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(("127.0.0.1", port)).ok();
        }
        if let Some(listener) = &listener {
            listener.set_nonblocking(true).expect("a socket");
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false).expect("a socket");
                let shared = shared.clone();
                std::thread::spawn(move || serve(&stream, &shared));
                continue;
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn serve(stream: &TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let mut writer = stream;
    while let Some(request) = read_request(&mut reader) {
        let fault = shared.fault();
        let answer = match fault {
            Fault::Refuse => {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            Fault::Status(status) => {
                let retry = if status == 429 { "Retry-After: 1\r\n" } else { "" };
                format!("HTTP/1.1 {status} X\r\n{retry}Content-Length: 4\r\n\r\nbusy").into_bytes()
            }
            Fault::Page => b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>".to_vec(),
            Fault::None | Fault::Reset | Fault::Stall | Fault::Truncate => match forward(&request, shared.upstream) {
                Some(answer) => answer,
                None => {
                    let _ = stream.shutdown(Shutdown::Both);
                    return;
                }
            },
        };
        match fault {
            Fault::Stall => {
                while shared.fault() == Fault::Stall && !shared.over.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            Fault::Reset => {
                let _ = writer.write_all(&answer[..answer.len() / 2]);
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            Fault::Truncate => {
                if writer.write_all(&truncated(&answer)).is_err() {
                    return;
                }
            }
            _ => {
                if writer.write_all(&answer).is_err() {
                    return;
                }
            }
        }
    }
}

/// Sends the request to the tracker on a connection of its own, and returns the whole answer.
fn forward(request: &Request, upstream: u16) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", upstream)).ok()?;
    let (first, rest) = request.head.split_once("\r\n")?;
    let kept: String =
        rest.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:")).map(|line| format!("{line}\r\n")).collect();
    stream.write_all(format!("{first}\r\nConnection: close\r\n{kept}").as_bytes()).ok()?;
    stream.write_all(&request.body).ok()?;
    let mut answer = Vec::new();
    let mut piece = [0; 1 << 14];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(_) => return None,
        }
        if is_whole(&answer) {
            break;
        }
    }
    is_whole(&answer).then_some(answer)
}

fn split(answer: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    Some(answer.split_at(end))
}

fn length(head: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
}

fn is_whole(answer: &[u8]) -> bool {
    split(answer).is_some_and(|(head, body)| match length(head) {
        Some(length) => body.len() >= length,
        None => body.ends_with(b"0\r\n\r\n"),
    })
}

/// Returns the answer with half of its body and a length that agrees.
fn truncated(answer: &[u8]) -> Vec<u8> {
    let Some((head, body)) = split(answer) else { return answer.to_vec() };
    let body = &body[..body.len() / 2];
    let head: String = String::from_utf8_lossy(head)
        .lines()
        .filter(|line| !line.is_empty() && !line.to_ascii_lowercase().starts_with("content-length:"))
        .map(|line| format!("{line}\r\n"))
        .collect();
    let mut whole = format!("{head}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    whole.extend_from_slice(body);
    whole
}
