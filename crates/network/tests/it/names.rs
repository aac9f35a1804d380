//! The resolver as a task sees it.

use crate::world::{Node, patient, root, run, until};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const UPSTREAM: &str = "127.0.0.53:53";
const KNOWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

/// Points the host's resolv.conf, in our mount namespace, to these servers.
fn set_servers(servers: &[&str]) {
    let path = root().join("resolv.conf");
    let text: String = servers.iter().map(|s| format!("nameserver {s}\n")).collect();
    std::fs::write(&path, text).unwrap();
}

fn answer(query: &[u8]) -> Vec<u8> {
    let mut message = Message::from_vec(query).unwrap();
    let name = message.queries[0].name().clone();
    message.metadata.message_type = hickory_proto::op::MessageType::Response;
    message.add_answer(Record::from_rdata(name, 5, RData::A(KNOWN.into())));
    message.to_vec().unwrap()
}

/// A name server on the host's loopback, over both protocols; the thread lives until the program ends.
fn fake_upstream() {
    let socket = UdpSocket::bind(UPSTREAM).unwrap();
    let listener = TcpListener::bind(UPSTREAM).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&answer(&buffer[..length]), from);
        }
    });
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query).unwrap();
            let answer = answer(&query);
            stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
}

fn query(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.to_vec().unwrap()
}

fn ask(resolver: Ipv4Addr, name: &str, kind: RecordType) -> Option<Message> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
    socket.connect((resolver, 53)).unwrap();
    let query = query(name, kind);
    socket.send(&query).unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).ok()?;
    assert_eq!(buffer[..2], query[..2], "the id is the client's own");
    Message::from_vec(&buffer[..length]).ok()
}

fn ask_by_stream(resolver: Ipv4Addr, names: &[&str]) -> Vec<Message> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((resolver, 53)), Duration::from_secs(1)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answers = Vec::new();
    for name in names {
        let query = query(name, RecordType::A);
        stream.write_all(&u16::try_from(query.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&query).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).unwrap();
        answers.push(Message::from_vec(&answer).unwrap());
    }
    answers
}

pub fn the_resolver_answers_and_forwards() {
    set_servers(&["127.0.0.53"]);
    run("mount --bind", &[root().join("resolv.conf").to_str().unwrap(), "/etc/resolv.conf"]);
    fake_upstream();
    let node = Node::open("0000003a", "172.31.0.0/16");
    let task = node.attach(10);
    let resolver = task.interface.resolver;
    let known = RData::A(KNOWN.into());

    let found = task.run(|| ask(resolver, &task.interface.host_name, RecordType::A)).unwrap();
    assert_eq!(found.answers[0].data, RData::A(task.address.into()));
    let found = task.run(|| ask(resolver, "10.0.31.172.in-addr.arpa.", RecordType::PTR)).unwrap();
    assert_eq!(found.answers[0].data.to_string(), format!("{}.", task.interface.host_name));
    let found = task.run(|| ask(resolver, "example.com.", RecordType::A)).unwrap();
    assert_eq!(found.answers[0].data, known, "forwarded to the host's loopback");
    let found = task.run(|| ask_by_stream(resolver, &["example.org.", &task.interface.host_name]));
    assert_eq!(found[0].answers[0].data, known);
    assert_eq!(found[1].answers[0].data, RData::A(task.address.into()));

    // A server that nobody is at: the next is asked at once.
    set_servers(&["127.0.0.54", "127.0.0.53"]);
    std::thread::sleep(Duration::from_millis(1100));
    let began = Instant::now();
    let found = task.run(|| ask(resolver, "example.net.", RecordType::A)).unwrap();
    assert_eq!(found.answers[0].data, known);
    assert!(began.elapsed() < Duration::from_secs(1));
    set_servers(&[]);
    std::thread::sleep(Duration::from_millis(1100));
    let found = task.run(|| ask(resolver, "example.com.", RecordType::A)).unwrap();
    assert_eq!(found.metadata.response_code, ResponseCode::ServFail, "no server at all");
    // One that swallows everything: an end all the same, before the client gives up.
    let _silent = UdpSocket::bind("127.0.0.55:53").unwrap();
    set_servers(&["127.0.0.55"]);
    std::thread::sleep(Duration::from_millis(1100));
    let began = Instant::now();
    let found = task.run(|| ask(resolver, "example.com.", RecordType::A)).unwrap();
    assert_eq!(found.metadata.response_code, ResponseCode::ServFail);
    assert!(began.elapsed() < patient(Duration::from_secs(5)));
    println!("resolver: {}", resident(pid(&node)));
    let began = Instant::now();
    task.run(|| (0..1000).for_each(|_| drop(ask(resolver, &task.interface.host_name, RecordType::A).unwrap())));
    println!("a thousand own names one after another: {:.2?}", began.elapsed());
    run("umount", &["/etc/resolv.conf"]);
}

pub fn the_resolver_is_restarted() {
    let node = Node::open("0000003b", "172.31.0.0/16");
    let task = node.attach(10);
    let first = pid(&node);
    node.runtime.block_on(node.network.reassert()).unwrap();
    assert_eq!(pid(&node), first, "one that lives is kept");
    run("kill -9", &[&first.to_string()]);
    let resolver = task.interface.resolver;
    let answered = until(|| {
        node.runtime.block_on(node.network.reassert()).unwrap();
        pid(&node) != first
    });
    assert!(answered);
    assert!(task.run(|| ask(resolver, &task.interface.host_name, RecordType::A)).is_some());
}

fn pid(node: &Node) -> u32 {
    let text = std::fs::read_to_string(node.run_dir.join("resolver")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

fn resident(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let lines =
        status.lines().filter(|l| l.starts_with("VmRSS") || l.starts_with("RssAnon") || l.starts_with("Threads"));
    lines.map(|l| l.replace('\t', " ")).collect::<Vec<_>>().join(", ")
}
