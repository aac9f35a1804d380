//! Image archives made in memory: the host's static busybox, with a few files, in both formats.

use sha2::{Digest, Sha256};
use std::fs;
use tar::{Builder, EntryType, Header};

const APPLETS: [&str; 22] = [
    "sh", "true", "false", "sleep", "cat", "echo", "id", "pwd", "env", "ls", "hostname", "touch", "dd", "mount",
    "grep", "ulimit", "mknod", "head", "kill", "stat", "tail", "unshare",
];

pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn add(tar: &mut Builder<Vec<u8>>, path: &str, mode: u32, data: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_size(data.len() as u64);
    header.set_mode(mode);
    tar.append_data(&mut header, path, data).expect("append");
}

fn directory(tar: &mut Builder<Vec<u8>>, path: &str, mode: u32) {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Directory);
    header.set_size(0);
    header.set_mode(mode);
    tar.append_data(&mut header, path, std::io::empty()).expect("append");
}

/// Two layers: busybox with its names, then a few files and a deletion.
pub fn layers() -> Vec<Vec<u8>> {
    let mut first = Builder::new(Vec::new());
    for path in ["bin/", "etc/", "home/", "root/"] {
        directory(&mut first, path, 0o755);
    }
    directory(&mut first, "tmp/", 0o1777);
    add(&mut first, "bin/busybox", 0o755, &fs::read("/bin/busybox").expect("busybox"));
    for applet in APPLETS {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        first.append_link(&mut header, format!("bin/{applet}"), "busybox").expect("link");
    }
    add(&mut first, "etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\nweb:x:1001:1002:web:/home:/bin/sh\n");
    add(&mut first, "etc/group", 0o644, b"root:x:0:\nweb:x:1002:\nlogs:x:1003:web\n");
    add(&mut first, "gone", 0o644, b"deleted by the second layer");
    add(&mut first, "private", 0o700, &fs::read("/bin/busybox").expect("busybox")[..64]);
    let mut second = Builder::new(Vec::new());
    add(&mut second, ".wh.gone", 0o644, b"");
    add(&mut second, "etc/second", 0o644, b"second layer\n");
    add(&mut second, "notprogram", 0o644, b"no program\n");
    vec![first.into_inner().expect("tar"), second.into_inner().expect("tar")]
}

pub fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    serde_json::to_vec(&serde_json::json!({
        "architecture": architecture, "os": "linux",
        "config": { "Env": ["IMAGE=yes", "BOTH=image"], "Cmd": ["echo", "default command"], "WorkingDir": "/made/here" },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    }))
    .expect("json")
}

/// As `docker save` writes it.
pub fn docker(name: &str) -> Vec<u8> {
    let layers = layers();
    let config = config(&layers);
    let mut tar = Builder::new(Vec::new());
    let mut names = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let name = format!("{number}/layer.tar");
        add(&mut tar, &name, 0o644, layer);
        names.push(name);
    }
    add(&mut tar, "config.json", 0o644, &config);
    let manifest = serde_json::json!([{ "Config": "config.json", "RepoTags": [name], "Layers": names }]);
    add(&mut tar, "manifest.json", 0o644, manifest.to_string().as_bytes());
    tar.into_inner().expect("tar")
}

/// A manifest for these layers, and the blobs it names.
pub fn manifest(layers: &[Vec<u8>], config: &[u8]) -> Vec<u8> {
    let descriptor = |kind: &str, bytes: &[u8]| serde_json::json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() });
    let layers: Vec<_> = layers.iter().map(|l| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", l)).collect();
    serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": layers,
    }))
    .expect("json")
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("gzip");
    encoder.finish().expect("gzip")
}

/// As `skopeo copy … oci-archive:` writes it.
pub fn oci(name: &str) -> Vec<u8> {
    let layers = layers();
    let config = config(&layers);
    let packed: Vec<Vec<u8>> = layers.iter().map(|layer| gzip(layer)).collect();
    let manifest = manifest(&packed, &config);
    let mut tar = Builder::new(Vec::new());
    add(&mut tar, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#);
    for blob in packed.iter().chain([&config, &manifest]) {
        add(&mut tar, &format!("blobs/{}", digest(blob).replace(':', "/")), 0o644, blob);
    }
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest(&manifest), "size": manifest.len(),
        "annotations": { "org.opencontainers.image.ref.name": name },
    }] });
    add(&mut tar, "index.json", 0o644, index.to_string().as_bytes());
    tar.into_inner().expect("tar")
}
