//! The published vectors of Signature Version 4, and what must be refused.

use super::*;

/// 30 August 2015, 12:36:00, the time of all published vectors.
const NOW: u64 = 1_440_938_160;

type Headers = Vec<Header<'static>>;

fn key() -> Key {
    Key {
        access_key: "AKIDEXAMPLE".to_owned(),
        secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session_token: None,
    }
}

fn lookup(access_key: &str) -> Option<Key> {
    (access_key == "AKIDEXAMPLE").then(key)
}

fn owned(headers: &[(&str, &str)]) -> Headers {
    let pairs = headers.iter();
    pairs.map(|(name, value)| ((*name).to_owned().into(), (*value).to_owned().into())).collect()
}

/// A published vector: request, headers beside host and date, and the signature.
struct Vector {
    method: &'static str,
    path: &'static str,
    query: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static [u8],
    signature: &'static str,
}

const fn get(path: &'static str, query: &'static str, signature: &'static str) -> Vector {
    Vector { method: "GET", path, query, headers: &[], body: b"", signature }
}

const UNRESERVED: &str = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const VANILLA: &str = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";

const VECTORS: [Vector; 19] = [
    get("/", "", VANILLA),
    get("//", "", VANILLA),
    get("/./", "", VANILLA),
    get("/example/..", "", VANILLA),
    get("/example1/example2/../..", "", VANILLA),
    get("/./example", "", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
    get("//example//", "", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
    get("/example space/", "", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
    get(
        "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        "",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    get("/", "Param1=value1", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
    get("/", "Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    get("/", "Param1=value2&Param1=Value1", "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"),
    get("/", "Param1=value2&Param1=value1", "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"),
    get("/", UNRESERVED, "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
    Vector {
        method: "POST",
        path: "/",
        query: "",
        headers: &[],
        body: b"",
        signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    },
    Vector {
        method: "POST",
        path: "/",
        query: "",
        headers: &[("content-type", "application/x-www-form-urlencoded")],
        body: b"Param1=value1",
        signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    },
    Vector {
        method: "GET",
        path: "/",
        query: "",
        headers: &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
        body: b"",
        signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    },
    Vector {
        method: "GET",
        path: "/",
        query: "",
        headers: &[
            ("my-header1", "value4"),
            ("my-header1", "value1"),
            ("my-header1", "value3"),
            ("my-header1", "value2"),
        ],
        body: b"",
        signature: "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
    },
    Vector {
        method: "GET",
        path: "/",
        query: "",
        headers: &[("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")],
        body: b"",
        signature: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    },
];

#[test]
fn published_vectors() {
    for vector in &VECTORS {
        let mut headers = owned(&[("host", "example.amazonaws.com")]);
        headers.extend(owned(vector.headers));
        let mut request = HttpRequest {
            method: vector.method,
            path: vector.path,
            query: vector.query,
            headers: &headers,
            body: vector.body,
        };
        let added = sign(&key(), "us-east-1", "service", NOW, &request);
        let authorization = added.iter().find(|(name, _)| name == "authorization");
        let authorization = authorization.map(|(_, value)| &**value).unwrap_or_default();
        let context = format!("{} {}?{}", vector.method, vector.path, vector.query);
        assert!(authorization.ends_with(&format!("Signature={}", vector.signature)), "{context}");
        let mut all = headers.clone();
        all.extend(added);
        request.headers = &all;
        let verified = verify(&request, NOW, &lookup, &mut SigningKeys::new());
        assert_eq!(verified.map(|verified| verified.service), Ok("service".to_owned()), "{context}");
    }
}

#[test]
fn the_vector_with_a_session_token() {
    let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
    let temporary = Key { session_token: Some(token.to_owned()), ..key() };
    let headers = owned(&[("host", "example.amazonaws.com")]);
    let request = HttpRequest { method: "POST", path: "/", query: "", headers: &headers, body: b"" };
    let added = sign(&temporary, "us-east-1", "service", NOW, &request);
    let authorization = &added[2].1;
    assert!(authorization.ends_with("Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"));
    let mut all = headers.clone();
    all.extend(added);
    let request = HttpRequest { headers: &all, ..request };
    let mut keys = SigningKeys::new();
    let known = |_: &str| Some(temporary.clone());
    assert!(verify(&request, NOW, &known, &mut keys).is_ok());
    let other = |_: &str| Some(Key { session_token: Some("another".to_owned()), ..key() });
    let code = |known: &dyn Fn(&str) -> Option<Key>, keys: &mut SigningKeys| {
        verify(&request, NOW, known, keys).map_err(|fault| fault.code)
    };
    assert_eq!(code(&other, &mut keys), Err("UnrecognizedClientException".into()));
    assert_eq!(code(&lookup, &mut keys), Err("UnrecognizedClientException".into()));
}

/// A request to ECS, and its headers after signing.
fn signed(body: &[u8]) -> Headers {
    let mut headers = owned(&[
        ("host", "localhost:8080"),
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListClusters"),
    ]);
    let request = HttpRequest { method: "POST", path: "/", query: "", headers: &headers, body };
    let added = sign(&key(), "us-east-1", "ecs", NOW, &request);
    headers.extend(added);
    headers
}

fn verdict_at(headers: &Headers, body: &[u8], now: u64) -> Result<Verified, Fault> {
    let request = HttpRequest { method: "POST", path: "/", query: "", headers, body };
    verify(&request, now, &lookup, &mut SigningKeys::new())
}

fn replaced(headers: &Headers, name: &str, from: &str, to: &str) -> Headers {
    let mut changed = headers.clone();
    for (known, value) in &mut changed {
        if known == name {
            assert!(value.contains(from), "{name} does not hold {from}");
            *value = value.replace(from, to).into();
        }
    }
    changed
}

#[test]
fn what_was_signed_is_accepted_and_says_who() {
    let verified = verdict_at(&signed(b"{}"), b"{}", NOW);
    let wanted =
        Verified { access_key: "AKIDEXAMPLE".to_owned(), region: "us-east-1".to_owned(), service: "ecs".to_owned() };
    assert!(wanted.scoped_to("us-east-1", "ecs").is_ok());
    assert!(wanted.scoped_to("eu-west-1", "ecs").is_err());
    assert!(wanted.scoped_to("us-east-1", "sts").is_err());
    assert_eq!(verified, Ok(wanted));
}

#[test]
fn every_change_is_refused() {
    let headers = signed(b"{}");
    let mismatch = "InvalidSignatureException";
    let added = |name: &str, value: &str| {
        let mut more = headers.clone();
        more.push((name.to_owned().into(), value.to_owned().into()));
        more
    };
    let without = |name: &str| -> Headers { headers.iter().filter(|(known, _)| known != name).cloned().collect() };
    let authorization = |from: &str, to: &str| replaced(&headers, "authorization", from, to);
    let cases: Vec<(&str, Headers, &[u8], &str)> = vec![
        ("body", headers.clone(), b"{ }", mismatch),
        ("host", replaced(&headers, "host", "localhost", "other"), b"{}", mismatch),
        ("operation", replaced(&headers, "x-amz-target", "List", "Delete"), b"{}", mismatch),
        ("second operation", added("x-amz-target", "X.DeleteCluster"), b"{}", mismatch),
        ("signed header gone", without("content-type"), b"{}", mismatch),
        ("date", replaced(&headers, "x-amz-date", "123600", "123601"), b"{}", mismatch),
        ("region", authorization("us-east-1", "us-east-2"), b"{}", mismatch),
        ("service", authorization("/ecs/", "/sts/"), b"{}", mismatch),
        ("day", authorization("20150830", "20150831"), b"{}", mismatch),
        ("cut signature", authorization("Signature=", "Signature=0"), b"{}", mismatch),
        ("host unsigned", authorization(";host;", ";"), b"{}", mismatch),
        ("target unsigned", authorization(";x-amz-target", ""), b"{}", mismatch),
        ("date unsigned", authorization(";x-amz-date", ""), b"{}", "IncompleteSignatureException"),
        ("no date", without("x-amz-date"), b"{}", "IncompleteSignatureException"),
        ("claimed hash", added("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), b"{}", mismatch),
        ("token", added("x-amz-security-token", "t"), b"{}", "UnrecognizedClientException"),
        ("key", authorization("AKIDEXAMPLE", "AKIDOTHER"), b"{}", "UnrecognizedClientException"),
        ("algorithm", authorization("HMAC-SHA256", "HMAC-MD5"), b"{}", "IncompleteSignatureException"),
        ("terminator", authorization("aws4_request", "aws5"), b"{}", "IncompleteSignatureException"),
        ("short scope", authorization("/ecs/", "/"), b"{}", "IncompleteSignatureException"),
        ("no headers", authorization("SignedHeaders", "Headers"), b"{}", "IncompleteSignatureException"),
        ("no header", without("authorization"), b"{}", "MissingAuthenticationTokenException"),
    ];
    for (what, headers, body, code) in cases {
        let verdict = verdict_at(&headers, body, NOW).map_err(|fault| fault.code);
        assert_eq!(verdict, Err(code.into()), "{what}");
    }
}

#[test]
fn five_minutes_either_way() {
    let headers = signed(b"");
    for now in [NOW - 300, NOW, NOW + 300] {
        assert!(verdict_at(&headers, b"", now).is_ok(), "{now}");
    }
    let message = |now: u64| verdict_at(&headers, b"", now).map_err(|fault| fault.message);
    assert_eq!(
        message(NOW + 301),
        Err("Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"
            .to_owned())
    );
    assert_eq!(
        message(NOW - 301),
        Err("Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)".to_owned())
    );
    assert!(message(0).is_err() && message(u64::MAX / 2_000_000).is_err());
}

#[test]
fn a_date_header_is_enough_when_it_is_signed() {
    let headers = owned(&[("date", "Sun, 30 Aug 2015 12:36:00 GMT"), ("host", "h")]);
    let request = HttpRequest { method: "POST", path: "/", query: "", headers: &headers, body: b"" };
    let hash = hex(&Sha256::digest(b""));
    let names = ["date", "host"];
    let canonical = canonical_request(&request, &names, &hash).unwrap_or_default();
    let scope = "20150830/us-east-1/ecs/aws4_request";
    let derived = keys::derive(key().secret.expose(), scope);
    let signature = signature(&derived, "20150830T123600Z", scope, &canonical);
    let mut all = headers.clone();
    all.push((
        "authorization".into(),
        format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders=date;host, Signature={signature}")
            .into(),
    ));
    assert!(verdict_at(&all, b"", NOW).is_ok());
}

#[test]
fn a_replaced_secret_is_not_served_from_the_cache() {
    let headers = signed(b"{}");
    let request = HttpRequest { method: "POST", path: "/", query: "", headers: &headers, body: b"{}" };
    let mut keys = SigningKeys::new();
    assert!(verify(&request, NOW, &lookup, &mut keys).is_ok());
    assert!(verify(&request, NOW, &lookup, &mut keys).is_ok());
    let renewed = |_: &str| Some(Key { secret: Secret::new("another"), ..key() });
    assert!(verify(&request, NOW, &renewed, &mut keys).is_err());
}

#[test]
fn secrets_are_not_printed() {
    let text = format!("{:?} {:?}", key(), SigningKeys::new());
    assert!(!text.contains("wJalr"));
    let temporary = Key { session_token: Some("tokentoken".to_owned()), ..key() };
    assert!(!format!("{temporary:?}").contains("tokentoken"));
}
