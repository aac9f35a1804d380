//! The host's name servers, as /etc/resolv.conf names them, read again when it changes.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

const PORT: u16 = 53;
/// As the C library does.
const SERVERS_MAX: usize = 3;
const SEARCH_MAX: usize = 6;
pub(super) const RESOLV_CONF: &str = "/etc/resolv.conf";
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The name servers of the host.
pub(super) struct Upstreams {
    path: PathBuf,
    /// Our own address, which must not be asked.
    own: IpAddr,
    servers: Vec<SocketAddr>,
    changed: Option<SystemTime>,
    looked: Option<Instant>,
}

impl Upstreams {
    /// Nothing is read before the first use.
    pub fn new(path: PathBuf, own: IpAddr) -> Self {
        Self { path, own, servers: Vec::new(), changed: None, looked: None }
    }

    /// The servers in the order in which they should be asked.
    pub fn servers(&mut self) -> &[SocketAddr] {
        let now = Instant::now();
        if self.looked.is_none_or(|at| now.duration_since(at) >= LOOK_AGAIN) {
            self.looked = Some(now);
            let changed = std::fs::metadata(&self.path).and_then(|m| m.modified()).ok();
            if changed.is_none() || changed != self.changed {
                self.changed = changed;
                let text = std::fs::read_to_string(&self.path).unwrap_or_default();
                self.servers = parse(&text, self.own);
            }
        }
        &self.servers
    }
}

/// The host's search domains: the last line that names any counts, as in the C library.
pub(crate) fn search_domains() -> Vec<String> {
    parse_search(&std::fs::read_to_string(RESOLV_CONF).unwrap_or_default())
}

fn parse_search(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if matches!(words.next(), Some("search" | "domain")) {
            found = words.take(SEARCH_MAX).map(str::to_owned).collect();
        }
    }
    found
}

fn parse(text: &str, own: IpAddr) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        // An IPv6 scope (`fe80::1%eth0`) names a link; such a server is left out.
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
        if address != own {
            servers.push(SocketAddr::new(address, PORT));
        }
    }
    servers.truncate(SERVERS_MAX);
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameserver_lines_in_order_without_ourselves() {
        let own = "172.31.0.2".parse().unwrap();
        let text = "# nameserver 9.9.9.9\nsearch lan\nnameserver 127.0.0.53\n nameserver\t2001:db8::1 # x\n\
                    nameserver 172.31.0.2\nnameserver fe80::1%eth0\nnameserver 1.1.1.1\nnameserver 8.8.8.8\n";
        let servers: Vec<String> = parse(text, own).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["127.0.0.53:53", "[2001:db8::1]:53", "1.1.1.1:53"]);
        assert!(parse("", own).is_empty());
    }

    #[test]
    fn the_last_search_line_counts() {
        assert_eq!(
            parse_search("domain a\nnameserver 1.1.1.1\nsearch b.example c.example\n"),
            ["b.example", "c.example"]
        );
        assert!(parse_search("# search x\n").is_empty());
    }

    #[test]
    fn a_missing_file_is_no_server_and_a_new_one_is_seen() {
        let path = std::env::temp_dir().join(format!("resolv-{}", std::process::id()));
        let mut upstreams = Upstreams::new(path.clone(), "172.31.0.2".parse().unwrap());
        assert!(upstreams.servers().is_empty());
        std::fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
        upstreams.looked = None;
        assert_eq!(upstreams.servers().len(), 1);
        std::fs::remove_file(&path).unwrap();
    }
}
