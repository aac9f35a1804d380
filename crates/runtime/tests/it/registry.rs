//! Registries to pull from: Debian's `docker-registry` as a process, and one of our own that breaks off.

use crate::archives::digest;
use crate::world::patient;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A real registry on loopback.
pub struct Registry {
    pub address: String,
    process: Child,
    directory: PathBuf,
}

impl Registry {
    /// Debian's registry: the one that `cargo xtask test` unpacked, or one that is installed.
    pub fn start() -> Self {
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let directory = std::env::temp_dir().join(format!("gantry-registry-{port}"));
        fs::create_dir_all(&directory).expect("registry directory");
        let config = directory.join("config.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
            directory.display()
        );
        fs::write(&config, text).expect("registry configuration");
        let program = std::env::var_os("GANTRY_TEST_REGISTRY").unwrap_or_else(|| "docker-registry".into());
        let process =
            Command::new(program).arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.expect("docker-registry: run `cargo xtask test --only \"runtime it\"`");
        let registry = Self { address, process, directory };
        let deadline = Instant::now() + patient(Duration::from_secs(20));
        while TcpStream::connect(&registry.address).is_err() {
            assert!(Instant::now() < deadline, "the registry does not come up");
            std::thread::sleep(Duration::from_millis(10));
        }
        registry
    }

    pub fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    pub fn push_blob(&self, repository: &str, blob: &[u8]) {
        let (status, head, _) = self.request("POST", &format!("/v2/{repository}/blobs/uploads/"), "", b"");
        assert_eq!(status, 202, "{head}");
        let location =
            head.lines().find_map(|line| line.strip_prefix("Location: ")).expect("location").trim().to_owned();
        let path = location.split_once(&self.address).map_or(location.as_str(), |(_, path)| path);
        let path = format!("{path}&digest={}", digest(blob));
        let (status, head, body) = self.request("PUT", &path, "application/octet-stream", blob);
        assert_eq!(status, 201, "{head} {body}");
    }

    pub fn push_manifest(&self, repository: &str, tag: &str, kind: &str, manifest: &[u8]) {
        let (status, head, body) = self.request("PUT", &format!("/v2/{repository}/manifests/{tag}"), kind, manifest);
        assert_eq!(status, 201, "{head} {body}");
    }

    fn request(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, String, String) {
        let mut socket = TcpStream::connect(&self.address).expect("connect");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        socket.write_all(head.as_bytes()).expect("send");
        socket.write_all(body).expect("send");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).expect("answer");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).expect("status");
        (status, head.to_owned(), body.to_owned())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port()
}

/// A registry with one image, whose every blob breaks off half way the first time it is asked for, and whose manifest
/// first fails with a 503.
pub fn flaky(manifest: Vec<u8>, blobs: Vec<Vec<u8>>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let asked = Arc::new(Mutex::new(Vec::<String>::new()));
    let log = asked.clone();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let (manifest, blobs, log) = (manifest.clone(), blobs.clone(), log.clone());
            std::thread::spawn(move || answer(socket, &manifest, &blobs, &log));
        }
    });
    (address, asked)
}

fn answer(mut socket: TcpStream, manifest: &[u8], blobs: &[Vec<u8>], log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(socket.try_clone().expect("clone"));
    let mut request = String::new();
    let _ = lines.read_line(&mut request);
    let mut from = 0usize;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(range) = lower.strip_prefix("range: bytes=") {
            from = range.trim().trim_end_matches('-').parse().expect("range");
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let times = {
        let mut log = log.lock().expect("log");
        log.push(format!("{path} from {from}"));
        log.iter().filter(|line| line.starts_with(&path)).count()
    };
    let head = |status: &str, length: usize| {
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\n\r\n"
        )
    };
    if path.contains("/manifests/") {
        let _ = match times {
            1 => socket.write_all(head("503 Service Unavailable", 0).as_bytes()),
            _ => socket.write_all(&[head("200 OK", manifest.len()).as_bytes(), manifest].concat()),
        };
        return;
    }
    let Some(blob) = blobs.iter().find(|blob| path.ends_with(&digest(blob))) else {
        let _ = socket.write_all(head("200 OK", 0).as_bytes());
        return;
    };
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    let rest = &blob[from..];
    let sent = if times == 1 { &rest[..rest.len() / 2] } else { rest };
    let _ = socket.write_all(&[head(status, rest.len()).as_bytes(), sent].concat());
}
