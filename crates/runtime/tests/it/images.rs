//! Images by archive and from registries, and containers made of them.

use crate::archives::{self, gzip};
use crate::registry::{Registry, flaky, free_port};
use crate::world::{World, patient};
use node::hands::{Command, Event, ImageFailure};
use std::collections::BTreeSet;
use std::io::Cursor;
use std::time::{Duration, Instant};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The digest, or the failure, and how often a pull was announced for this container.
fn prepare(world: &mut World, container: &str, image: &str) -> (Result<String, ImageFailure>, usize) {
    let task = world.key();
    let (container, image) = (container.to_owned(), image.to_owned());
    world.perform(Command::PrepareImage { task: task.clone(), container: container.clone(), image });
    let mut announced = 0;
    let result = world.wait("ImageReady", |event| match event {
        Event::ImagePulling { container: of, .. } if *of == container => {
            announced += 1;
            None
        }
        Event::ImageReady { container: of, digest, .. } if *of == container => Some(Ok(digest.clone())),
        Event::ImageFailed { container: of, failure, .. } if *of == container => Some(Err(failure.clone())),
        _ => None,
    });
    (result, announced)
}

struct Pushed {
    manifest: Vec<u8>,
    blobs: Vec<Vec<u8>>,
}

fn image(extra: &str) -> Pushed {
    let mut layers = archives::layers();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(extra.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "extra", extra.as_bytes()).expect("append");
    // Something that does not compress, and that no other image has.
    let mut noise = extra.as_bytes().to_vec();
    while noise.len() < 300_000 {
        noise.extend_from_slice(archives::digest(&noise).as_bytes());
    }
    header.set_size(noise.len() as u64);
    tar.append_data(&mut header, "noise", noise.as_slice()).expect("append");
    layers.push(tar.into_inner().expect("tar"));
    let config = archives::config(&layers);
    let mut blobs: Vec<Vec<u8>> = layers.iter().map(|layer| gzip(layer)).collect();
    let manifest = archives::manifest(&blobs, &config);
    blobs.push(config);
    Pushed { manifest, blobs }
}

fn push(registry: &Registry, repository: &str, tag: &str, extra: &str) -> String {
    let image = image(extra);
    for blob in &image.blobs {
        registry.push_blob(repository, blob);
    }
    registry.push_manifest(repository, tag, MANIFEST, &image.manifest);
    archives::digest(&image.manifest)
}

#[test]
fn both_archive_forms_give_the_same_layers_and_run() {
    let mut world = World::new();
    let images = world.runtime().images().clone();
    let loaded = images.load(Cursor::new(archives::oci("busybox:oci"))).expect("OCI archive");
    assert_eq!(loaded[0].reference.as_deref(), Some("docker.io/library/busybox:oci"));
    let packed = gzip(&archives::docker("busybox:packed"));
    let again = images.load(Cursor::new(packed)).expect("compressed docker archive");
    assert_eq!(again[0].digest, world.image, "the same archive has the same digest");
    let docker = images.resolve_local("busybox:test").expect("docker");
    let oci = images.resolve_local("docker.io/library/busybox:oci").expect("oci");
    assert_eq!(docker.layers, oci.layers);
    assert_ne!(docker.digest, oci.digest);
    let (ready, announced) = prepare(&mut world, "a", "busybox:oci");
    assert_eq!((ready, announced), (Ok(oci.digest.clone()), 0), "what was loaded is never looked up");
    world.image = oci.digest;
    assert_eq!(world.sh("cat /etc/second").0, "second layer\n");
}

#[test]
fn archives_that_lie_are_refused() {
    let world = World::new();
    let images = world.runtime().images().clone();
    // Layers that are here would not be looked at again.
    images.remove("busybox:test", &BTreeSet::new()).expect("remove");
    let before = images.list();
    let whole = archives::oci("bad:1");
    for (what, bytes) in [
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("noise", vec![7; 4096]),
        ("changed layer", {
            // One bit in the middle of the largest member.
            let mut bytes = whole.clone();
            let middle = bytes.len() / 3;
            bytes[middle] ^= 1;
            bytes
        }),
    ] {
        assert!(images.load(Cursor::new(bytes)).is_err(), "{what}");
    }
    assert_eq!(images.list(), before);
}

#[test]
fn removing_deletes_what_nobody_needs() {
    let world = World::new();
    let images = world.runtime().images().clone();
    images.load(Cursor::new(archives::oci("busybox:oci"))).expect("load");
    let layers = || std::fs::read_dir(world.data.join("images/layers")).expect("layers").count();
    assert_eq!(layers(), 2);
    let none = BTreeSet::new();
    images.remove("busybox:oci", &none).expect("remove");
    assert_eq!(layers(), 2, "the other image has the same layers");
    assert!(images.remove("busybox:oci", &none).is_err());
    images.remove("busybox:test", &BTreeSet::from([world.image.clone()])).expect("remove");
    assert_eq!(layers(), 2, "in use");
    assert_eq!(images.list().len(), 1);
    assert_eq!(images.list()[0].reference, None);
    images.clean(&none).expect("clean");
    assert_eq!((layers(), images.list().len()), (0, 0));
    assert_eq!(std::fs::read_dir(world.data.join("images/blobs/sha256")).expect("blobs").count(), 0);
}

#[test]
fn images_come_from_a_registry() {
    let mut registry = Registry::start();
    let mut world = World::new();
    let first = push(&registry, "team/app", "1", "first");
    let name = format!("{}/team/app:1", registry.address);
    let begin = Instant::now();
    let (ready, announced) = prepare(&mut world, "a", &name);
    println!("pull of a 2 MB image: {:.1} ms", begin.elapsed().as_secs_f64() * 1000.0);
    assert_eq!((ready, announced), (Ok(first.clone()), 1));
    let begin = Instant::now();
    assert_eq!(prepare(&mut world, "b", &name), (Ok(first.clone()), 0), "unchanged");
    println!("check of a tag: {:.1} ms", begin.elapsed().as_secs_f64() * 1000.0);
    world.image = first.clone();
    assert_eq!(world.sh("cat /extra").0, "first");
    let second = push(&registry, "team/app", "1", "second");
    assert_ne!(first, second);
    assert_eq!(prepare(&mut world, "c", &name), (Ok(second.clone()), 1), "the tag has moved");
    let by_digest = format!("{}/team/app@{first}", registry.address);
    assert_eq!(prepare(&mut world, "d", &by_digest), (Ok(first.clone()), 0), "a digest that is here");

    let native = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [
        { "mediaType": MANIFEST, "digest": first, "size": 2, "platform": { "os": "linux", "architecture": "s390x" } },
        { "mediaType": MANIFEST, "digest": second, "size": 2, "platform": { "os": "linux", "architecture": native } },
    ]});
    registry.push_manifest("team/app", "multi", INDEX, index.to_string().as_bytes());
    let multi = format!("{}/team/app:multi", registry.address);
    assert_eq!(prepare(&mut world, "e", &multi).0, Ok(second.clone()), "this machine's of several");
    assert_eq!(prepare(&mut world, "f", &multi), (Ok(second.clone()), 0));

    let unknown = prepare(&mut world, "g", &format!("{}/team/app:none", registry.address)).0.expect_err("unknown");
    assert_eq!(unknown.error, "CannotPullContainerError");
    assert!(unknown.message.starts_with("pull image manifest has been retried 0 time(s): "), "{unknown:?}");
    assert!(unknown.message.contains("manifest unknown"), "{unknown:?}");

    registry.stop();
    assert_eq!(prepare(&mut world, "h", &name), (Ok(second), 0), "nobody answers: what is here is used");
}

#[test]
fn a_registry_that_is_not_there_is_told_with_its_cause() {
    let mut world = World::new();
    let begin = Instant::now();
    let (failure, _) = prepare(&mut world, "a", &format!("127.0.0.1:{}/app", free_port()));
    let failure = failure.expect_err("refused");
    assert!(failure.message.starts_with("pull image manifest has been retried 2 time(s): "), "{failure:?}");
    assert!(failure.message.to_lowercase().contains("connection refused"), "{failure:?}");
    assert!(begin.elapsed() < patient(Duration::from_secs(3)));
    let failure = prepare(&mut world, "b", "Not A Reference").0.expect_err("malformed");
    assert!(failure.message.contains("invalid reference format"), "{failure:?}");
}

#[test]
fn broken_transfers_go_on_where_they_ended() {
    let image = image("flaky");
    let (address, asked) = flaky(image.manifest.clone(), image.blobs.clone());
    let mut world = World::new();
    let (ready, _) = prepare(&mut world, "a", &format!("{address}/app:1"));
    let asked = asked.lock().expect("log").clone();
    assert_eq!(ready, Ok(archives::digest(&image.manifest)), "{asked:#?}");
    // The large layer was half there, and only the other half was asked for.
    let large = &image.blobs[2];
    let path = archives::digest(large);
    let resumed: Vec<&String> = asked.iter().filter(|line| line.contains(&path) && !line.ends_with("from 0")).collect();
    assert_eq!(resumed.len(), 1, "{asked:#?}");
    world.image = archives::digest(&image.manifest);
    assert_eq!(world.sh("cat /extra").0, "flaky");
}

#[test]
fn a_layer_with_the_wrong_bytes_is_not_taken() {
    let mut image = image("wrong");
    // The registry serves other bytes under the last layer's name: the name no longer fits, so it serves nothing.
    image.blobs[2].push(0);
    let (address, _) = flaky(image.manifest.clone(), image.blobs.clone());
    let mut world = World::new();
    let failure = prepare(&mut world, "a", &format!("{address}/app:1")).0.expect_err("wrong bytes");
    assert!(failure.message.contains("digest") || failure.message.contains("retried"), "{failure:?}");
    assert_eq!(world.runtime().images().list().len(), 1, "only the test image");
    let fetch = std::fs::read_dir(world.data.join("images/fetch")).expect("fetch");
    assert_eq!(fetch.count(), 0, "nothing is left behind");
}

#[test]
fn many_tasks_want_one_image_and_it_is_pulled_once() {
    let registry = Registry::start();
    let mut world = World::new();
    let digest = push(&registry, "app", "1", "shared");
    let name = format!("{}/app:1", registry.address);
    for number in 0..10 {
        let task = world.key();
        let (container, image) = (format!("c{number}"), name.clone());
        world.perform(Command::PrepareImage { task, container, image });
    }
    let mut announced = 0;
    for _ in 0..10 {
        let ready = world.wait("ImageReady", |event| match event {
            Event::ImagePulling { .. } => {
                announced += 1;
                None
            }
            Event::ImageReady { digest, .. } => Some(digest.clone()),
            Event::ImageFailed { failure, .. } => panic!("{failure:?}"),
            _ => None,
        });
        assert_eq!(ready, digest);
    }
    assert!(announced >= 1);
    let pulls = world.seen(|event| matches!(event, Event::ImagePulling { .. }));
    assert_eq!(pulls, 1);
}
