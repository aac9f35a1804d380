//! The store of log events driven through its own door: what was acknowledged is there, in order, whatever happens.

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use telemetry::{Appended, Error, Filter, Group, Keep, Millis, Order, Page, Pattern, Reader, Streams, Token, Writer};

const GROUP: Group = [7; 16];
const NOW: Millis = 1_800_000_000_000;
const HOUR: Millis = 3_600_000;
const EVER: (Millis, Millis) = (0, i64::MAX as Millis);

struct Logs {
    directory: PathBuf,
    writer: Writer,
    reader: Reader,
}

impl Logs {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("telemetry-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let (writer, reader) = telemetry::open(&directory.join("logs.db")).unwrap();
        Self { directory, writer, reader }
    }

    fn create(&self, stream: &str) -> Result<(), Error> {
        self.create_in(GROUP, stream)
    }

    fn create_in(&self, group: Group, stream: &str) -> Result<(), Error> {
        let (reply, answer) = channel();
        self.writer.create_stream(group, stream.to_owned(), NOW, Box::new(move |done| reply.send(done).unwrap()));
        answer.recv().unwrap()
    }

    fn append(&self, stream: &str, events: &[(Millis, &str)]) -> Result<Appended, Error> {
        let events = events.iter().map(|(at, message)| (*at, (*message).to_owned())).collect();
        append(&self.writer, stream, events)
    }

    fn lines(&self, stream: &str, numbers: std::ops::Range<u64>) {
        let events = numbers.map(|n| (NOW + n, format!("line {n}"))).collect();
        append(&self.writer, stream, events).unwrap();
    }

    fn page(&self, stream: &str, token: Option<Token>, head: bool, limit: usize) -> Page {
        self.reader.stream((&GROUP, stream), EVER, (token, head), limit).unwrap()
    }

    fn all(&self, stream: &str) -> Vec<String> {
        messages(&self.page(stream, None, true, 10_000))
    }

    fn found(&self, filter: &Filter) -> Vec<String> {
        let (mut all, mut filter) = (Vec::new(), filter.clone());
        loop {
            let found = self.reader.filter(&GROUP, &filter).unwrap();
            all.extend(found.events.into_iter().map(|(_, _, event)| event.message));
            filter.after = found.next;
            if filter.after.is_none() {
                return all;
            }
        }
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn append(writer: &Writer, stream: &str, events: Vec<(Millis, String)>) -> Result<Appended, Error> {
    let (reply, answer) = channel();
    let place = (GROUP, stream.to_owned());
    writer.append(place, (NOW, None), events, Box::new(move |done| drop(reply.send(done))));
    answer.recv().unwrap()
}

fn messages(page: &Page) -> Vec<String> {
    page.events.iter().map(|event| event.message.clone()).collect()
}

fn any() -> Filter {
    Filter { to: EVER.1, limit: 10_000, ..Filter::default() }
}

fn numbered(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| format!("line {n}")).collect()
}

#[test]
fn pages_go_both_ways_by_tokens_that_stay_good() {
    let logs = Logs::new("tokens");
    logs.create("s").unwrap();
    for part in 0..50 {
        logs.lines("s", part * 20..part * 20 + 20);
    }
    let tail = logs.page("s", None, false, 10);
    assert_eq!(messages(&tail), numbered(990..1000));
    let before = logs.page("s", Some(tail.backward), false, 10);
    assert_eq!(messages(&before), numbered(980..990));
    assert_eq!(messages(&logs.page("s", Some(before.forward), false, 10)), numbered(990..1000));
    let end = logs.page("s", Some(tail.forward), false, 10);
    assert_eq!((messages(&end), end.forward), (Vec::new(), tail.forward), "the same token at the end");
    // What comes later is seen from the same token.
    logs.lines("s", 1000..1003);
    assert_eq!(messages(&logs.page("s", Some(tail.forward), false, 10)), numbered(1000..1003));
    let (mut all, mut token) = (Vec::new(), None);
    loop {
        let page = logs.page("s", token, true, 7);
        if page.events.is_empty() {
            assert_eq!(Some(page.forward), token);
            break;
        }
        all.extend(messages(&page));
        token = Some(page.forward);
    }
    assert_eq!(all, numbered(0..1003));
    let head = logs.page("s", None, true, 3);
    let none = logs.page("s", Some(head.backward), true, 3);
    assert_eq!((none.events.len(), none.backward), (0, head.backward));
    for token in [head.forward, head.backward] {
        assert_eq!(Token::parse(&token.to_string()), Some(token));
    }
    for bad in ["", "f", "f/", "x/00000000000000000000000000000000", "f/zz", "f/é0000000000000000000000000000000"] {
        assert_eq!(Token::parse(bad), None, "{bad}");
    }
}

#[test]
fn an_empty_stream_is_followed_from_its_first_token() {
    let logs = Logs::new("empty");
    logs.create("s").unwrap();
    let page = logs.page("s", None, true, 10);
    assert!(page.events.is_empty());
    logs.lines("s", 0..2);
    assert_eq!(messages(&logs.page("s", Some(page.forward), false, 10)), numbered(0..2));
    assert_eq!(logs.reader.stream((&GROUP, "none"), EVER, (None, true), 1).unwrap_err(), Error::NoStream);
    assert_eq!(logs.append("none", &[(NOW, "x")]), Err(Error::NoStream));
    assert_eq!(logs.create("s"), Err(Error::StreamExists));
}

#[test]
fn batches_out_of_order_are_read_in_order() {
    let logs = Logs::new("order");
    logs.create("s").unwrap();
    logs.append("s", &[(NOW + 10, "c"), (NOW + 5 * HOUR / 4, "e")]).unwrap();
    logs.append("s", &[(NOW - HOUR, "a"), (NOW + 20, "d")]).unwrap();
    logs.append("s", &[(NOW, "b"), (NOW + 2 * HOUR, "f")]).unwrap();
    assert_eq!(logs.all("s"), ["a", "b", "c", "d", "e", "f"]);
    let tail = logs.page("s", None, false, 4);
    assert_eq!(messages(&tail), ["c", "d", "e", "f"]);
    assert_eq!(messages(&logs.page("s", Some(tail.backward), false, 4)), ["a", "b"]);
    let some = logs.reader.stream((&GROUP, "s"), (NOW, NOW + 20), (None, true), 9).unwrap();
    assert_eq!(messages(&some), ["b", "c"], "from a time, to before a time");
}

#[test]
fn many_streams_are_merged_and_filtered() {
    let logs = Logs::new("merge");
    for stream in 0..10 {
        let name = format!("{}/{stream}", if stream < 5 { "web" } else { "db" });
        logs.create(&name).unwrap();
        let events = (0..1000).map(|n| (NOW + n * 10 + stream, format!("line {}", n * 10 + stream))).collect();
        append(&logs.writer, &name, events).unwrap();
    }
    assert_eq!(logs.found(&any()), numbered(0..10_000));
    assert_eq!(logs.found(&Filter { limit: 17, ..any() }), numbered(0..10_000), "by small pages");
    let web = Filter { prefix: "web/".into(), from: NOW, to: NOW + 20, ..any() };
    assert_eq!(logs.found(&web), [numbered(0..5), numbered(10..15)].concat());
    let named = Filter { names: Some(vec!["db/7".into(), "web/1".into()]), to: NOW + 20, ..any() };
    assert_eq!(logs.found(&named), ["line 1", "line 7", "line 11", "line 17"]);
    let pattern = Pattern::parse("\"line 999\"").unwrap();
    let wanted: Vec<String> = std::iter::once("line 999".to_owned()).chain(numbered(9990..10_000)).collect();
    assert_eq!(logs.found(&Filter { pattern, ..any() }), wanted);
    let missing = Filter { names: Some(vec!["none".into()]), ..any() };
    assert_eq!(logs.reader.filter(&GROUP, &missing).unwrap_err(), Error::NoStream);
    assert!(logs.reader.filter(&GROUP, &Filter { after: Some("x".into()), ..any() }).is_err());
    let ids: std::collections::BTreeSet<String> =
        logs.reader.filter(&GROUP, &any()).unwrap().events.into_iter().map(|(_, id, _)| id).collect();
    assert_eq!(ids.len(), 10_000, "ids are not used twice");
}

#[test]
fn a_page_has_a_mebibyte_at_most() {
    let logs = Logs::new("large");
    logs.create("s").unwrap();
    for n in 0..4u64 {
        append(&logs.writer, "s", (0..3).map(|m| (NOW + n * 3 + m, "x".repeat(300_000))).collect()).unwrap();
    }
    let (mut seen, mut token) = (0, None);
    loop {
        let page = logs.page("s", token, true, 10_000);
        assert!(page.events.iter().map(|event| event.message.len() + 26).sum::<usize>() <= 1_048_576);
        if page.events.is_empty() {
            break;
        }
        seen += page.events.len();
        token = Some(page.forward);
    }
    assert_eq!((seen, logs.found(&any()).len()), (12, 12));
}

#[test]
fn streams_are_listed_by_name_and_by_time() {
    let logs = Logs::new("streams");
    for (name, at) in [("b/1", 3), ("a/2", 1), ("b/2", 2), ("a/1", 0)] {
        logs.create(name).unwrap();
        if at > 0 {
            logs.append(name, &[(NOW + at, "x"), (NOW + 10 * at, "y")]).unwrap();
        }
    }
    let list = |asked: Streams| {
        let (mut names, mut asked) = (Vec::new(), asked);
        loop {
            let (streams, next) = logs.reader.streams(&GROUP, &asked).unwrap();
            names.extend(streams.into_iter().map(|stream| stream.name));
            asked.after = next;
            if asked.after.is_none() {
                return names.join(" ");
            }
        }
    };
    let asked =
        |order, descending, prefix: &str| Streams { prefix: prefix.into(), order, descending, after: None, limit: 1 };
    assert_eq!(list(asked(Order::Name, false, "")), "a/1 a/2 b/1 b/2");
    assert_eq!(list(asked(Order::Name, true, "b/")), "b/2 b/1");
    assert_eq!(list(asked(Order::Last, true, "")), "b/1 b/2 a/2 a/1");
    let (streams, _) = logs.reader.streams(&GROUP, &asked(Order::Last, true, "")).unwrap();
    assert_eq!((streams[0].first, streams[0].last), (Some(NOW + 3), Some(NOW + 30)));
    let bad = Streams { after: Some("x".into()), limit: 1, ..Streams::default() };
    assert!(logs.reader.streams(&GROUP, &bad).is_err());
}

#[test]
fn what_is_not_kept_goes_and_gives_its_place_back() {
    let logs = Logs::new("keep");
    logs.create("s").unwrap();
    logs.create_in([8; 16], "s").unwrap();
    let noise = |n: u64| {
        (0..400u64).map(|m| format!("{:x}", (n * 977 + m).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect::<String>()
    };
    for n in 0..100u64 {
        let events = (0..100).map(|m| (NOW - 100_000 + n * 1000 + m, noise(n * 100 + m))).collect();
        append(&logs.writer, "s", events).unwrap();
    }
    let settled = |what: &dyn Fn() -> bool| {
        let until = Instant::now() + Duration::from_secs(10);
        while !what() {
            assert!(Instant::now() < until, "it is not done in time");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    logs.writer.keep(vec![Keep::Since(GROUP, NOW - 50_000)]);
    settled(&|| logs.page("s", None, true, 1).events[0].at >= NOW - 52_000);
    assert!(logs.page("s", None, true, 1).events[0].at <= NOW - 50_000, "nothing that is kept went");
    logs.writer.keep(vec![Keep::Nothing(GROUP)]);
    let gone = || matches!(logs.reader.stream((&GROUP, "s"), EVER, (None, true), 1), Err(Error::NoStream));
    settled(&gone);
    let (reply, groups) = channel();
    logs.writer.groups(Box::new(move |groups| reply.send(groups.unwrap()).unwrap()));
    assert_eq!(groups.recv().unwrap(), [[8; 16]]);
    logs.create("s").unwrap();
    assert_eq!(logs.all("s"), Vec::<String>::new(), "a new group has nothing of the old");
}

/// The log of the file is cut at every length: what was acknowledged before the cut is there, whole and in order.
#[test]
fn a_torn_write_loses_nothing_that_was_whole() {
    let logs = Logs::new("torn");
    logs.create("s").unwrap();
    let wal = logs.directory.join("logs.db-wal");
    let length = |path: &Path| std::fs::metadata(path).unwrap().len();
    let mut lengths = Vec::new();
    for n in 0..20u64 {
        logs.lines("s", n * 10..n * 10 + 10);
        lengths.push(length(&wal));
    }
    let copies = logs.directory.join("copies");
    for cut in (lengths[0]..=lengths[19]).step_by(1021) {
        let copy = copies.join(cut.to_string());
        std::fs::create_dir_all(&copy).unwrap();
        std::fs::copy(logs.directory.join("logs.db"), copy.join("logs.db")).unwrap();
        let bytes = std::fs::read(&wal).unwrap();
        std::fs::write(copy.join("logs.db-wal"), &bytes[..cut as usize]).unwrap();
        let (writer, reader) = telemetry::open(&copy.join("logs.db")).unwrap();
        let read = messages(&reader.stream((&GROUP, "s"), EVER, (None, true), 10_000).unwrap());
        let whole = lengths.iter().filter(|length| **length <= cut).count() as u64;
        assert_eq!(read, numbered(0..whole * 10), "cut at {cut}");
        // And it goes on.
        append(&writer, "s", vec![(NOW + 5000, "more".into())]).unwrap();
    }
}

#[test]
fn concurrent_writers_are_answered_after_their_events_are_readable() {
    let logs = Logs::new("many");
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let logs = &logs;
            scope.spawn(move || {
                let name = format!("s{thread}");
                logs.create(&name).unwrap();
                for n in 0..20u64 {
                    logs.lines(&name, n..n + 1);
                    let tail = logs.page(&name, None, false, 1);
                    assert_eq!(messages(&tail), numbered(n..n + 1));
                }
            });
        }
    });
    eprintln!("8 writers, 20 durable lines each: {:?}", begun.elapsed());
    assert_eq!(logs.found(&any()).len(), 160);
}

/// The figure is printed, and is worth something in a release build only.
#[test]
fn throughput() {
    let logs = Logs::new("speed");
    logs.create("s").unwrap();
    let line = |n: u64| format!("{n:012} GET /index.html?user={} 200 {} ms agent=curl/8.5", n * 7919 % 10_007, n % 97);
    let batches: Vec<Vec<(Millis, String)>> =
        (0..20u64).map(|b| (0..10_000).map(|n| (NOW + b, line(b * 10_000 + n))).collect()).collect();
    let begun = Instant::now();
    for batch in batches {
        append(&logs.writer, "s", batch).unwrap();
    }
    let wrote = begun.elapsed();
    let begun = Instant::now();
    let (mut seen, mut token) = (0, None);
    loop {
        let page = logs.page("s", token, true, 10_000);
        if page.events.is_empty() {
            break;
        }
        seen += page.events.len();
        token = Some(page.forward);
    }
    assert_eq!(seen, 200_000);
    let rate = |time: Duration| (200_000.0 / time.as_secs_f64()) as u64;
    let size = std::fs::metadata(logs.directory.join("logs.db")).unwrap().len();
    eprintln!("{} lines/s written durably, {} lines/s read, {size} bytes", rate(wrote), rate(begun.elapsed()));
}
