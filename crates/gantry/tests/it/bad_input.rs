//! Requests as nobody should send them: each is answered, in AWS's form, with the caller's fault and never with the
//! server's, and the server goes on.

use crate::http::{Answer, Signer, exchange};
use crate::tasks::{definition, shell};
use crate::world::{Gantry, fault};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A control plane alone: no request here gets as far as a node.
fn control() -> Gantry {
    let mut gantry = Gantry::new();
    gantry.start("control");
    gantry
}

fn still_serves(gantry: &Gantry) {
    assert_eq!(gantry.ecs("ListClusters", json!({}))["clusterArns"].as_array().map(Vec::len), Some(1));
}

#[test]
fn bodies_that_cannot_be_read() {
    let gantry = control();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [&[u8]; 12] = [
        b"{",
        b"}",
        b"[]",
        b"\"text\"",
        b"7",
        b"{\"clusters\":\"a\"}",
        b"{\"clusters\":[1]}",
        b"{\"clusters\":{\"a\":1}}",
        b"{\"include\":[\"TAGS\"],}",
        b"\xff\xfe",
        b"{\"clusters\":[\"\\ud800\"]}",
        deep.as_bytes(),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let (code, _) = fault(&shown, &gantry.signer.ecs("DescribeClusters", body));
        assert_eq!(code, "SerializationException", "{shown}");
    }
    let numbers = [json!("many"), json!(1.5), json!(99_999_999_999_i64), json!(true), json!({}), json!([])];
    for number in numbers {
        let (code, message) = gantry.refused("ListClusters", &json!({ "maxResults": number }));
        let known = ["SerializationException", "InvalidParameterException"];
        assert!(known.contains(&code.as_str()), "maxResults {number}: {code} {message}");
    }
    still_serves(&gantry);
    gantry.take_down();
}

#[test]
fn values_that_are_not_allowed() {
    let gantry = control();
    for (operation, input, code) in [
        ("RunTask", json!({}), "InvalidParameterException"),
        ("DescribeTasks", json!({ "tasks": [] }), "InvalidParameterException"),
        ("ListTasks", json!({ "desiredStatus": "SLEEPING" }), "InvalidParameterException"),
        ("ListTasks", json!({ "maxResults": 0 }), "InvalidParameterException"),
        ("ListTasks", json!({ "maxResults": -1 }), "InvalidParameterException"),
        ("ListTasks", json!({ "cluster": "nowhere" }), "ClusterNotFoundException"),
        (
            "ListTasks",
            json!({ "cluster": "arn:aws:ecs:eu-west-9:000000000000:cluster/default" }),
            "InvalidParameterException",
        ),
        (
            "ListTasks",
            json!({ "cluster": "arn:aws:ecs:us-east-1:111111111111:cluster/default" }),
            "InvalidParameterException",
        ),
        ("CreateCluster", json!({ "clusterName": "no spaces" }), "InvalidParameterException"),
        ("CreateCluster", json!({ "clusterName": "x".repeat(256) }), "InvalidParameterException"),
        ("DescribeTaskDefinition", json!({ "taskDefinition": "nothing:7" }), "ClientException"),
        ("DescribeTaskDefinition", json!({ "taskDefinition": "a:b:c" }), "ClientException"),
        ("RunTask", json!({ "taskDefinition": "nothing" }), "ClientException"),
        ("StopTask", json!({ "task": "nothing" }), "InvalidParameterException"),
    ] {
        let (found, message) = gantry.refused(operation, &input);
        let input = input.to_string().chars().take(120).collect::<String>();
        // AWS itself answers some of these with one of the two: both blame the caller.
        let either = ["InvalidParameterException", "ClientException"];
        let same = found == code || (either.contains(&found.as_str()) && either.contains(&code));
        assert!(same, "{operation} {input}: {found} {message}, expected {code}");
    }
    still_serves(&gantry);
    gantry.take_down();
}

#[test]
fn definitions_that_make_no_task() {
    let gantry = control();
    let plain = || definition("web", &[shell("main", "true")]);
    let with = |member: &str, value: Value| {
        let mut changed = plain();
        changed[member] = value;
        changed
    };
    let with_container = |member: &str, value: Value| {
        let mut changed = plain();
        changed["containerDefinitions"][0][member] = value;
        changed
    };
    gantry.ecs("RegisterTaskDefinition", plain());
    for (what, input) in [
        ("no family", with("family", json!(""))),
        ("a family with spaces", with("family", json!("a b"))),
        ("a long family", with("family", json!("f".repeat(256)))),
        ("a pair that Fargate does not have", with("memory", json!("8192"))),
        ("CPU that is no number", with("cpu", json!("much"))),
        ("no CPU", with("cpu", Value::Null)),
        ("no memory", with("memory", Value::Null)),
        ("bridge mode on Fargate", with("networkMode", json!("bridge"))),
        ("an unknown network mode", with("networkMode", json!("pigeon"))),
        ("an unknown compatibility", with("requiresCompatibilities", json!(["MOON"]))),
        ("no containers", with("containerDefinitions", json!([]))),
        ("containers that are none", with("containerDefinitions", json!({}))),
        ("the same name twice", with("containerDefinitions", json!([shell("a", "true"), shell("a", "true")]))),
        ("a container with spaces", with_container("name", json!("a b"))),
        ("a container without an image", with_container("image", Value::Null)),
        ("less than no memory", with_container("memory", json!(-5))),
        ("more memory than the task", with_container("memory", json!(513))),
        ("a wrong port", with_container("portMappings", json!([{ "containerPort": 70_000 }]))),
        ("a wrong protocol", with_container("portMappings", json!([{ "containerPort": 80, "protocol": "smoke" }]))),
        (
            "a container that waits for itself",
            with_container("dependsOn", json!([{ "containerName": "main", "condition": "START" }])),
        ),
        ("no essential container", with_container("essential", json!(false))),
        ("a privileged container on Fargate", with_container("privileged", json!(true))),
    ] {
        let (code, message) = gantry.refused("RegisterTaskDefinition", &input);
        let known = ["ClientException", "InvalidParameterException", "SerializationException"];
        assert!(known.contains(&code.as_str()), "{what}: {code} {message}");
    }
    let families = gantry.ecs("ListTaskDefinitions", json!({}))["taskDefinitionArns"].clone();
    assert_eq!(families.as_array().map(Vec::len), Some(1), "nothing of it was kept: {families}");
    gantry.take_down();
}

#[test]
fn signatures_that_prove_nothing() {
    let gantry = control();
    let good = &gantry.signer;
    let list = |signer: &Signer| fault("ListClusters", &signer.ecs("ListClusters", b"{}"));
    let wrong_secret = Signer { secret: "x".repeat(40), ..good.clone() };
    assert_eq!(list(&wrong_secret).0, "InvalidSignatureException");
    let unknown_key = Signer { access_key: "AKIAIOSFODNN7EXAMPLE".into(), ..good.clone() };
    assert_eq!(list(&unknown_key).0, "UnrecognizedClientException");
    for skew in [-400, 400, -100_000, 100_000] {
        let (code, message) = list(&Signer { skew, ..good.clone() });
        assert_eq!(code, "InvalidSignatureException");
        assert!(message.contains("expired") || message.contains("not yet current"), "{message}");
    }
    let (code, message) = list(&Signer { region: "eu-central-1".into(), ..good.clone() });
    assert_eq!(code, "InvalidSignatureException");
    assert!(message.contains("us-east-1"), "it names ours: {message}");
    assert_eq!(
        fault("service", &good.send("s3", "AmazonEC2ContainerServiceV20141113.ListClusters", b"{}")).0,
        "InvalidSignatureException"
    );
    let plain = [("x-amz-target".to_owned(), "AmazonEC2ContainerServiceV20141113.ListClusters".to_owned())];
    let unsigned = exchange(&good.authority, "POST", "/", &plain, b"{}").expect("an answer");
    assert_eq!(fault("unsigned", &unsigned).0, "MissingAuthenticationTokenException");
    for authorization in
        ["", "Bearer x", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=0"]
    {
        let headers = [&plain[..], &[("authorization".to_owned(), authorization.to_owned())]].concat();
        let (code, _) =
            fault(authorization, &exchange(&good.authority, "POST", "/", &headers, b"{}").expect("an answer"));
        assert!(
            ["IncompleteSignatureException", "MissingAuthenticationTokenException"].contains(&code.as_str()),
            "{code}"
        );
    }
    // A signature is for one body.
    let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", plain[0].1.as_str())];
    let moved = exchange(&good.authority, "POST", "/", &good.sign("ecs", &headers, b"{}"), b"{ }").expect("an answer");
    assert_eq!(fault("moved", &moved).0, "InvalidSignatureException");
    still_serves(&gantry);
    gantry.take_down();
}

#[test]
fn requests_that_ask_for_nothing_known() {
    let gantry = control();
    let unknown = |target: &str| fault(target, &gantry.signer.send("ecs", target, b"{}")).0;
    for target in [
        "AmazonEC2ContainerServiceV20141113.MakeCoffee",
        "AmazonEC2ContainerServiceV20141113",
        "Nothing.ListClusters",
        "x",
    ] {
        assert_eq!(unknown(target), "UnknownOperationException", "{target}");
    }
    for (method, path) in [("GET", "/"), ("PUT", "/"), ("DELETE", "/"), ("POST", "/other"), ("GET", "/favicon.ico")] {
        let answer = exchange(&gantry.signer.authority, method, path, &[], b"").expect("an answer");
        assert!((400..500).contains(&answer.status), "{method} {path}: {}", answer.status);
    }
    for size in [1024 * 1024 + 1, 8 * 1024 * 1024] {
        let body = format!("{{\"clusters\":[\"{}\"]}}", "x".repeat(size));
        let answer: Answer = gantry.signer.ecs("DescribeClusters", body.as_bytes());
        assert_eq!((answer.status, fault("oversize", &answer).0.as_str()), (413, "RequestEntityTooLargeException"));
    }
    still_serves(&gantry);
    gantry.take_down();
}

/// Not even HTTP: the connection may go, the server may not.
#[test]
fn bytes_that_are_no_request() {
    let gantry = control();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(&gantry.signer.authority).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        stream.write_all(bytes).expect("write");
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    // One that promises a body and leaves.
    let mut stream = TcpStream::connect(&gantry.signer.authority).expect("a connection");
    stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{").expect("write");
    drop(stream);
    still_serves(&gantry);
    gantry.take_down();
}
