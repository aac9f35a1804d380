//! Tasks beside each other: an address for each, one loopback for the containers of one, and deployments that do not meet.

use crate::tasks::{WAIT, address, page, shell};
use crate::world::Gantry;
use std::collections::BTreeSet;

#[test]
fn two_containers_share_localhost() {
    let gantry = Gantry::up();
    let server = shell(
        "server",
        "mkdir -p /private; echo from the other > /private/word; exec httpd -f -p 127.0.0.1:9000 -h /private",
    );
    let front = shell(
        "front",
        "mkdir -p /www; until wget -q -O /www/word http://127.0.0.1:9000/word; do sleep 0.05; done; exec httpd -f -p 80 -h /www",
    );
    let task = gantry.task("pair", &[server, front]);
    let address = address(&gantry.running(&task));
    assert_eq!(page(&address, "/word"), "from the other\n");
    let outside = crate::http::exchange(&format!("{address}:9000"), "GET", "/word", &[], &[]);
    assert!(outside.is_err(), "loopback is the task's alone: {outside:?}");
    gantry.take_down();
}

#[test]
fn ten_tasks_listen_on_the_same_port() {
    let gantry = Gantry::up();
    let script = "mkdir -p /www; hostname -i > /www/me; exec httpd -f -p 80 -h /www";
    let definition = gantry.register("ten", &[shell("main", script)]);
    let tasks = gantry.run(&definition, 10);
    let addresses: BTreeSet<String> = tasks.iter().map(|task| address(&gantry.running(task))).collect();
    assert_eq!(addresses.len(), 10, "{addresses:?}");
    for address in &addresses {
        assert_eq!(page(address, "/me").trim(), address);
    }
    let listed = gantry.ec2("DescribeNetworkInterfaces");
    assert!(addresses.iter().all(|address| listed.contains(address.as_str())), "{listed}");
    tasks.iter().for_each(|task| gantry.stop(task));
    tasks.iter().for_each(|task| drop(gantry.stopped(task)));
    tasks.iter().for_each(|task| gantry.gone(task));
    gantry.take_down();
}

/// A task reaches another of its VPC by address.
#[test]
fn tasks_reach_each_other() {
    let gantry = Gantry::up();
    let (_, server) = gantry.server("server", "echo hello > /www/word");
    assert_eq!(page(&server, "/word"), "hello\n");
    let (_, client) = gantry.server("client", &format!("wget -q -O /www/word http://{server}/word"));
    assert_eq!(page(&client, "/word"), "hello\n");
    gantry.take_down();
}

#[test]
fn two_deployments_side_by_side() {
    let (one, two) = (Gantry::up(), Gantry::up());
    let range = |gantry: &Gantry| {
        let xml = gantry.ec2("DescribeVpcs");
        xml.split("<cidrBlock>").nth(1).and_then(|rest| rest.split('<').next()).expect("a range").to_owned()
    };
    assert_ne!(range(&one), range(&two), "each has a range of its own");
    let (_, first) = one.server("web", "echo one > /www/who");
    let (second_task, second) = two.server("web", "echo two > /www/who");
    assert_eq!((page(&first, "/who").trim(), page(&second, "/who").trim()), ("one", "two"));
    let before = two.processes(&second_task);
    assert!(!before.is_empty());
    let waiting = one.task("waiting", &[shell("main", WAIT)]);
    one.running(&waiting);
    one.take_down();
    assert_eq!(two.describe(&second_task)["lastStatus"], "RUNNING");
    assert_eq!(page(&second, "/who").trim(), "two", "the other's end is none of its business");
    assert_eq!(two.processes(&second_task), before);
    two.take_down();
}
