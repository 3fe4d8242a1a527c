//! A proxy before a server that spoils one request: the k-th.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// What becomes of the k-th request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NetworkFailure {
    /// Nothing.
    None,
    /// It does not reach the server: the connection is closed.
    Lost,
    /// The server does it, and its answer is lost.
    Unanswered,
    /// The server does it, and 500 is answered.
    Failed,
    /// 429 is answered; the client is to come back at once.
    Refused,
    /// It reaches the server long after the client has given up.
    Late(Duration),
    /// The server is gone from then on; the k-th is still done, and unanswered.
    Gone,
}

/// The proxy; it ends with the test.
pub(crate) struct Proxy {
    address: SocketAddr,
    seen: Arc<AtomicUsize>,
    closing: Arc<AtomicBool>,
    /// Requests under way.
    open: Arc<AtomicUsize>,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Before the server at `server`; spoils request `k`, the first being 1.
    pub(crate) fn start(server: SocketAddr, fault: NetworkFailure, k: usize) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), server, fault, k)
    }

    /// The same at this address.
    pub(crate) fn start_at(address: SocketAddr, server: SocketAddr, fault: NetworkFailure, k: usize) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (seen, closing, open) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let accepting = {
            let (seen, closing, open) = (seen.clone(), closing.clone(), open.clone());
            thread::spawn(move || {
                for client in listener.incoming().map_while(Result::ok) {
                    if closing.load(Ordering::SeqCst) {
                        break;
                    }
                    let (seen, open) = (seen.clone(), open.clone());
                    open.fetch_add(1, Ordering::SeqCst);
                    thread::spawn(move || {
                        let _ = serve(client, server, fault, k, &seen);
                        open.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            })
        };
        Self { address, seen, closing, open, accepting: Some(accepting) }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as a server.
    pub(crate) fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came.
    pub(crate) fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }

    /// Waits until nothing is under way any more.
    pub(crate) fn settle(&self) {
        for _ in 0..1000 {
            if self.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("a request is still under way after ten seconds");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // so that it looks up
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().map(JoinHandle::join);
    }
}

/// One request a connection.
fn serve(client: TcpStream, server: SocketAddr, fault: NetworkFailure, k: usize, seen: &AtomicUsize) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut client = client;
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        match lower.split(':').next().unwrap_or_default() {
            "connection" => {}
            "host" => head.push_str(&format!("host: {server}\r\n")),
            _ if line == "\r\n" => break,
            _ => head.push_str(&line),
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let number = seen.fetch_add(1, Ordering::SeqCst) + 1;
    let forward = || -> std::io::Result<Vec<u8>> {
        let mut upstream = TcpStream::connect(server)?;
        write!(upstream, "{head}connection: close\r\n\r\n")?;
        upstream.write_all(&body)?;
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let close = "content-length: 0\r\nconnection: close\r\n\r\n";
    match fault {
        NetworkFailure::Gone if number > k => Ok(()),
        _ if number != k => client.write_all(&forward()?),
        NetworkFailure::None => client.write_all(&forward()?),
        NetworkFailure::Lost => Ok(()),
        NetworkFailure::Unanswered | NetworkFailure::Gone => forward().map(drop),
        NetworkFailure::Failed => {
            forward()?;
            write!(client, "HTTP/1.1 500 Internal Server Error\r\n{close}")
        }
        NetworkFailure::Refused => write!(client, "HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\n{close}"),
        NetworkFailure::Late(pause) => {
            thread::sleep(pause);
            forward().map(drop)
        }
    }
}
