//! A thousand malformed requests of ten kinds: the right status each, and good writers never notice.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::process::Server;
use crate::write::{HEADERS_1, encode, named, push, snappy};

type Kind = (&'static str, u16, fn(&mut StdRng, i64) -> (Vec<(&'static str, &'static str)>, Vec<u8>));

fn good(now: i64) -> Vec<u8> {
    encode(&[named("m", 1, vec![(now, 1.0)])])
}

const KINDS: [Kind; 10] = [
    ("not snappy", 400, |random, _| {
        (HEADERS_1.to_vec(), (0..random.random_range(1..200)).map(|_| 0xff).collect())
    }),
    ("snappy cut short", 400, |_, now| {
        let body = snappy(&good(now));
        (HEADERS_1.to_vec(), body[..body.len() / 2].to_vec())
    }),
    ("protobuf cut short", 400, |random, now| {
        let body = good(now);
        let length = random.random_range(1..body.len());
        (HEADERS_1.to_vec(), snappy(&body[..length]))
    }),
    ("protobuf of another kind", 400, |_, _| (HEADERS_1.to_vec(), snappy(b"\x0a\x03\x08\xff\xff"))),
    ("unknown encoding", 415, |_, now| {
        (vec![("content-type", "application/x-protobuf"), ("content-encoding", "br")], good(now))
    }),
    ("unknown media type", 415, |_, now| {
        (vec![("content-type", "application/json"), ("content-encoding", "snappy")], snappy(&good(now)))
    }),
    ("unknown message", 415, |_, now| {
        (
            vec![
                ("content-type", "application/x-protobuf;proto=io.prometheus.write.v9.Request"),
                ("content-encoding", "snappy"),
            ],
            snappy(&good(now)),
        )
    }),
    ("empty label name", 400, |_, now| {
        (
            HEADERS_1.to_vec(),
            snappy(&encode(&[(vec![("", "x".to_owned()), ("__name__", "m".to_owned())], vec![(now, 1.0)])])),
        )
    }),
    ("the same label twice", 400, |_, now| {
        (
            HEADERS_1.to_vec(),
            snappy(&encode(&[(
                vec![("__name__", "m".to_owned()), ("a", "1".to_owned()), ("a", "2".to_owned())],
                vec![(now, 1.0)],
            )])),
        )
    }),
    ("decompresses into too much", 400, |_, _| {
        // The header of a snappy block that claims 4 GiB less one.
        (HEADERS_1.to_vec(), vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0])
    }),
];

#[test]
fn a_thousand_malformed_requests_get_the_right_status_and_harm_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let server = Arc::new(Server::start(dir.path(), &[]));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (server, stop) = (Arc::clone(&server), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut written = 0i64;
            while !stop.load(Ordering::SeqCst) || written == 0 {
                push(&server, &[named("good", 7, vec![(now - 3_600_000 + written, written as f64)])]);
                written += 1;
            }
            written
        })
    };
    let mut random = StdRng::seed_from_u64(7);
    for i in 0..1000 {
        let (name, status, make) = KINDS[i % KINDS.len()];
        let (headers, body) = make(&mut random, now);
        let answer = server.request("POST", "/api/v1/push", &headers, &body);
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert!(!answer.text().trim().is_empty(), "{name}: no explanation");
    }
    stop.store(true, Ordering::SeqCst);
    let written = writer.join().unwrap();
    let result = server.query("count_over_time(good[2h])", now);
    assert_eq!(result[0]["value"][1], written.to_string());
    assert_eq!(server.request("GET", "/api/v1/push", &[], b"").status, 405);
    assert_eq!(server.get("/-/ready").status, 200);
    // Refused by its announced size, before the body is sent.
    let mut socket = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let announced = (32 << 20) + 1;
    write!(
        socket,
        "POST /api/v1/push HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
         content-encoding: snappy\r\ncontent-length: {announced}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("request_bytes_max"), "{answer}");
}
