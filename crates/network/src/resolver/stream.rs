//! Queries over TCP: long answers, and clients that prefer it. A thread per connection, few and small.

use super::names::{Decision, decide, failure};
use super::upstream::Upstreams;
use hickory_proto::op::ResponseCode;
use node::hands::Cidr;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Connections at one time; one more is closed at once.
const CONNECTIONS_MAX: usize = 32;
const STACK: usize = 256 * 1024;
/// A client may be silent for so long.
const IDLE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(2);

/// All connections of tasks.
pub(super) struct Streams {
    shared: Arc<Shared>,
}

struct Shared {
    upstreams: Arc<Mutex<Upstreams>>,
    vpc: Cidr,
    open: AtomicUsize,
}

impl Streams {
    pub fn new(upstreams: Arc<Mutex<Upstreams>>, vpc: Cidr) -> Self {
        Self { shared: Arc::new(Shared { upstreams, vpc, open: AtomicUsize::new(0) }) }
    }

    /// Takes every connection that waits.
    pub fn accept(&self, listener: &TcpListener) {
        while let Ok((stream, _)) = listener.accept() {
            if self.shared.open.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
                continue;
            }
            self.shared.open.fetch_add(1, Ordering::Relaxed);
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || {
                // It ends when the client leaves, is silent or sends rubbish: nothing to tell anybody.
                let _ = shared.serve(stream);
                shared.open.fetch_sub(1, Ordering::Relaxed);
            });
            if thread.is_err() {
                self.shared.open.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(IDLE))?;
        client.set_write_timeout(Some(PATIENCE))?;
        loop {
            let query = read_message(&mut client)?;
            let answer = match decide(&query, self.vpc) {
                Decision::Ignore => return Ok(()),
                Decision::Answer(answer) => answer,
                Decision::Forward => self.forward(&query),
            };
            write_message(&mut client, &answer)?;
        }
    }

    fn forward(&self, query: &[u8]) -> Vec<u8> {
        let servers = self.upstreams.lock().map_or_else(|_| Vec::new(), |mut u| u.servers().to_vec());
        let answer = servers.iter().find_map(|server| ask(*server, query).ok());
        answer.unwrap_or_else(|| failure(query, ResponseCode::ServFail))
    }
}

fn ask(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write_message(&mut stream, query)?;
    let answer = read_message(&mut stream)?;
    if answer.len() < 12 || answer[..2] != query[..2] {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(answer)
}

fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    // One write, so that it is one segment.
    stream.write_all(&[&length.to_be_bytes(), message].concat())
}
