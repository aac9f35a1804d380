//! Ports of the host that lead to containers, as neighbours of the host see them, and what is left of them when the node
//! is killed and comes back.

use crate::clients::python;
use crate::http::exchange;
use crate::tasks::arns;
use crate::world::{Gantry, PATIENCE, eventually};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A neighbour of the host: a namespace with a link to it.
struct Lan {
    path: PathBuf,
    link: String,
    host: String,
}

impl Lan {
    fn new(path: &Path) -> Self {
        let number = std::process::id();
        let (link, peer) = (format!("gl{number}"), format!("gp{number}"));
        let [host, neighbour] = [1, 2].map(|last| format!("10.{}.{}.{last}", 200 + number % 50, number / 50 % 250));
        File::create(path).expect("a file");
        let path = path.to_owned();
        run("unshare", &[&format!("--net={}", path.display()), "true"]);
        run("ip", &["link", "add", &link, "type", "veth", "peer", "name", &peer]);
        run("ip", &["link", "set", &peer, "netns", &path.display().to_string()]);
        run("ip", &["addr", "add", &format!("{host}/24"), "dev", &link]);
        run("ip", &["link", "set", &link, "up"]);
        let namespace = format!("--net={}", path.display());
        for words in [
            format!("addr add {neighbour}/24 dev {peer}"),
            format!("link set {peer} up"),
            format!("route add default via {host}"),
        ] {
            let words: Vec<&str> = [namespace.as_str(), "ip"].into_iter().chain(words.split(' ')).collect();
            run("nsenter", &words);
        }
        Self { path, link, host }
    }

    /// The answer to a request from there.
    fn page(&self, port: u64, path: &str) -> std::io::Result<String> {
        let (namespace, authority) = (File::open(&self.path)?, format!("{}:{port}", self.host));
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                exchange(&authority, "GET", path, &[], &[]).map(|answer| answer.text())
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", &self.link]).status();
        let _ = Command::new("umount").arg(&self.path).status();
        let _ = std::fs::remove_file(&self.path);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().expect(program);
    assert!(status.success(), "{program} {arguments:?}");
}

/// The host ports of every container that runs, with the container's own port.
fn bindings(gantry: &Gantry) -> BTreeMap<(String, String), Value> {
    let listed = gantry.ecs("ListTasks", json!({}));
    let described = gantry.ecs("DescribeTasks", json!({ "tasks": listed["taskArns"] }));
    let mut all = BTreeMap::new();
    for task in described["tasks"].as_array().expect("tasks") {
        let arn = task["taskArn"].as_str().expect("an ARN");
        for container in task["containers"].as_array().expect("containers") {
            let name = container["name"].as_str().expect("a name");
            all.insert((arn.to_owned(), name.to_owned()), container["networkBindings"].clone());
        }
    }
    all
}

#[test]
fn ports_of_the_host_lead_to_containers() {
    let mut gantry = Gantry::new();
    // Before the node: links that come later are seen at its next look, half a minute later.
    let lan = Lan::new(&gantry.directory.join("lan"));
    gantry.start("up");
    gantry.load("busybox");
    python(&gantry, "ports.py");
    let before = bindings(&gantry);
    assert_eq!(before.len(), 6, "one static, two of two, one on the host: {before:?}");
    let http: Vec<u64> = before
        .values()
        .flat_map(|bindings| bindings.as_array().expect("bindings").iter())
        .filter(|binding| binding["protocol"] == "tcp")
        .map(|binding| binding["hostPort"].as_u64().expect("a port"))
        .collect();
    assert_eq!(http.len(), 6);
    let pages = |what: &str| {
        let page = |port: &u64| {
            eventually(what, PATIENCE, || lan.page(*port, "/etc/hostname").map_err(|error| error.to_string()))
        };
        http.iter().map(page).collect::<Vec<_>>()
    };
    let names = pages("page from the LAN");
    gantry.kill("up");
    assert_eq!(pages("page without a node"), names);
    gantry.start("up");
    assert_eq!(pages("page beside a new node"), names);
    assert_eq!(bindings(&gantry), before, "as before the node was killed");
    // What the new node adopted it can also take back.
    let listed = gantry.ecs("ListTasks", json!({}));
    let tasks: Vec<String> =
        listed["taskArns"].as_array().expect("ARNs").iter().filter_map(|arn| arn.as_str().map(str::to_owned)).collect();
    let run = gantry.ecs("RunTask", json!({ "taskDefinition": "dynamic" }));
    let newest = arns(&run["tasks"]).remove(0);
    gantry.running(&newest);
    let new: Vec<Value> =
        bindings(&gantry).into_iter().filter(|(key, _)| key.0 == newest).map(|(_, value)| value).collect();
    assert!(new.iter().all(|binding| !before.values().any(|known| known == binding)), "{new:?}");
    for task in tasks.iter().chain([&newest]) {
        gantry.stop(task);
    }
    for task in tasks.iter().chain([&newest]) {
        gantry.stopped(task);
        gantry.gone(task);
    }
    assert!(http.iter().all(|port| lan.page(*port, "/").is_err()), "nobody answers any more");
    gantry.take_down();
}
