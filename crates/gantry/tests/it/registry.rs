//! Debian's container registry on loopback, and a push to it by plain HTTP, so that images are pulled from a program that
//! is not ours.

use crate::http::{Answer, exchange};
use crate::world::{PATIENCE, eventually, image, told};
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A registry.
pub struct Registry {
    /// `127.0.0.1:5000`.
    pub authority: String,
    process: Child,
}

impl Registry {
    /// Starts one that keeps what it gets in `directory`.
    pub fn start(directory: &Path) -> Self {
        let authority = free_authority();
        let config = directory.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: {authority} }}\n",
            directory.join("registry").display()
        );
        fs::write(&config, text).expect("registry.yml");
        let mut command = Command::new(told("GANTRY_TEST_REGISTRY"));
        command.arg("serve").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self { authority, process: command.spawn().expect("docker-registry") };
        eventually("registry", PATIENCE, || {
            exchange(&registry.authority, "GET", "/v2/", &[], &[]).map(drop).map_err(|error| error.to_string())
        });
        registry
    }

    /// Pushes a packed image under a name and tag.
    pub fn push(&self, archive: &str, name: &str, tag: &str) {
        let members = members(&image(archive));
        let listed: Value = serde_json::from_slice(member(&members, "manifest.json")).expect("manifest.json");
        let config = member(&members, listed[0]["Config"].as_str().expect("Config"));
        let layer = member(&members, listed[0]["Layers"][0].as_str().expect("Layers"));
        let described: Value = serde_json::from_slice(config).expect("configuration");
        let layer_digest = described["rootfs"]["diff_ids"][0].as_str().expect("diff_ids").to_owned();
        let config_digest = self.upload(name, config);
        assert_eq!(self.upload(name, layer), layer_digest);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config.len() },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest, "size": layer.len() }],
        });
        let kind = [("content-type".to_owned(), "application/vnd.oci.image.manifest.v1+json".to_owned())];
        let path = format!("/v2/{name}/manifests/{tag}");
        self.ask("PUT", &path, &kind, manifest.to_string().as_bytes(), 201);
    }

    /// Uploads a blob; its digest.
    fn upload(&self, name: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        let begun = self.ask("POST", &format!("/v2/{name}/blobs/uploads/"), &[], &[], 202);
        let location = begun.header("location").expect("a location").to_owned();
        let path = location.split_once(&self.authority).map_or(location.as_str(), |(_, path)| path);
        let kind = [("content-type".to_owned(), "application/octet-stream".to_owned())];
        self.ask("PUT", &format!("{path}&digest={digest}"), &kind, bytes, 201);
        digest
    }

    fn ask(&self, method: &str, path: &str, headers: &[(String, String)], body: &[u8], status: u16) -> Answer {
        let answer = exchange(&self.authority, method, path, headers, body).expect("an answer of the registry");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        answer
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address of this host where nobody listens.
pub fn free_authority() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

fn digest(bytes: &[u8]) -> String {
    let path = std::env::temp_dir().join(format!("gantry-it-blob-{}", std::process::id()));
    fs::write(&path, bytes).expect("a file");
    let told = Command::new("sha256sum").arg(&path).output().expect("sha256sum");
    let _ = fs::remove_file(path);
    let hex = String::from_utf8_lossy(&told.stdout).split(' ').next().unwrap_or_default().to_owned();
    format!("sha256:{hex}")
}

/// The members of an archive, unpacked by the system's tar.
fn members(archive: &Path) -> Vec<(String, Vec<u8>)> {
    let names = Command::new("tar").arg("-tf").arg(archive).output().expect("tar");
    let names = String::from_utf8_lossy(&names.stdout).into_owned();
    let read = |name: &str| {
        let told = Command::new("tar").arg("-xOf").arg(PathBuf::from(archive)).arg(name).output().expect("tar");
        (name.to_owned(), told.stdout)
    };
    names.lines().map(read).collect()
}

fn member<'a>(members: &'a [(String, Vec<u8>)], name: &str) -> &'a [u8] {
    members.iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes.as_slice()).expect("such a member")
}
