//! Beside somebody whose FORWARD chain drops, as Docker's does.

use crate::kernel::{IP, attribute, change, comments, number, text};
use crate::world::{Node, OUTSIDE, hear, in_namespace, outside, ping, serve};

const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const NESTED: u16 = 0x8000;

/// `ip filter` with FORWARD at policy drop.
fn drop_what_is_forwarded() {
    change(NEW_TABLE, CREATE, IP, &[text(1, "filter"), number(2, 0)]);
    let hook = [number(1, 2), number(2, 0)].concat();
    let forward =
        [text(1, "filter"), text(3, "FORWARD"), attribute(4 | NESTED, &hook), number(5, 0), text(7, "filter")];
    change(NEW_CHAIN, CREATE, IP, &forward);
}

/// DOCKER-USER, to which FORWARD jumps.
fn add_docker_user() {
    change(NEW_CHAIN, CREATE, IP, &[text(1, "filter"), text(3, "DOCKER-USER")]);
    let jump = [number(1, u32::MAX - 2), text(2, "DOCKER-USER")].concat();
    let data = attribute(2 | NESTED, &attribute(2 | NESTED, &jump));
    let immediate = [number(1, 0), data].concat();
    let expression = [text(1, "immediate"), attribute(2 | NESTED, &immediate)].concat();
    let list = attribute(4 | NESTED, &attribute(1 | NESTED, &expression));
    change(NEW_RULE, CREATE | APPEND, IP, &[text(1, "filter"), text(2, "FORWARD"), list]);
}

fn remove_filter() {
    change(DELETE_TABLE, 0, IP, &[text(1, "filter")]);
}

pub fn a_dropping_forward_chain_is_opened() {
    drop_what_is_forwarded();
    let node = Node::open("0000000e", "172.31.0.0/16");
    let (task, other) = (node.attach(10), node.attach(11));
    serve(&outside(), 9002, "outside");
    assert!(task.run(|| hear(OUTSIDE, 9002)).is_some(), "egress passes");
    assert!(task.run(|| ping(other.address)));
    task.serve(80, "task");
    assert_eq!(in_namespace(&outside(), || hear(task.address, 80)), None, "ingress does not");
    assert_eq!(comments("FORWARD"), ["gantry 0000000e", "gantry 0000000e"]);
    network::remove_everything(&node.id, &node.run_dir).unwrap();
    assert!(comments("FORWARD").is_empty());
    remove_filter();
}

pub fn docker_user_is_preferred_and_cleaned() {
    let (one, two) = (Node::open("0000001a", "172.31.0.0/16"), Node::open("0000001b", "172.30.0.0/16"));
    let (left, right) = (one.attach(10), two.attach(10));
    serve(&outside(), 9003, "outside");
    assert!(left.run(|| hear(OUTSIDE, 9003)).is_some());
    // Docker comes later, and shuts everybody out.
    drop_what_is_forwarded();
    add_docker_user();
    assert!(left.run(|| hear(OUTSIDE, 9003)).is_none());
    for node in [&one, &two, &one] {
        node.runtime.block_on(node.network.reassert()).unwrap();
    }
    assert!(left.run(|| hear(OUTSIDE, 9003)).is_some() && right.run(|| hear(OUTSIDE, 9003)).is_some());
    let rules = ["gantry 0000001b", "gantry 0000001b", "gantry 0000001a", "gantry 0000001a"];
    assert_eq!(comments("DOCKER-USER"), rules, "once for each");
    assert_eq!(comments("FORWARD"), [""], "Docker's own chain is left alone");
    network::remove_everything(&one.id, &one.run_dir).unwrap();
    assert_eq!(comments("DOCKER-USER"), rules[..2]);
    assert!(right.run(|| hear(OUTSIDE, 9003)).is_some());
    network::remove_everything(&two.id, &two.run_dir).unwrap();
    remove_filter();
}
