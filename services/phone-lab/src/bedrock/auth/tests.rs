use super::{
    super::frame::tests::{FRAMES, unhex},
    *,
};

const SEED: &str = "db8a5c0eedbe379ef114fa33ddbb9901a2e1c7c1c24705eae9b2d8767aaa1f01";
const SIGNED: &str = "content-type;host;x-amz-date;x-amz-security-token;x-amz-user-agent";

fn keyring() -> Keyring {
    Keyring {
        region: "us-east-1".into(),
        access_key_id: "AKIDEXAMPLE".into(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
        session_token: Some("SESSIONTOKEN".into()),
        expires_at: None,
        temporary: false,
        waived: Waived::NONE,
    }
}

/// A client's side of the golden stream: signs any payload as its next message, dated like the request.
pub(in super::super) struct Signer(ChunkVerifier);

impl Signer {
    pub(in super::super) fn new() -> Self {
        Self(verifier())
    }

    pub(in super::super) fn sign(&mut self, payload: &[u8]) -> [u8; 32] {
        let signature = self.0.expected(now(), payload);
        self.0.previous = hex(&signature);
        signature
    }
}

/// The request of the captured vector (the official Rust SDK's bytes, signatures recomputed independently).
fn request() -> Parts {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/bedrock/aws4_request, \
         SignedHeaders={SIGNED}, Signature={SEED}"
    );
    let agent =
        "aws-sdk-rust/1.7.0 ua/2.1 api/bedrockruntime/1.153.0 os/linux lang/rust/1.95.0 m/E,N md/http#hyper-1.x";
    let path = "/model/amazon.nova-2-sonic-v1%3A0/invoke-with-bidirectional-stream";
    http::Request::post(format!("https://127.0.0.1:18080{path}"))
        .header("content-type", "application/vnd.amazon.eventstream")
        .header("x-amz-date", "20261122T112313Z")
        .header("x-amz-security-token", "SESSIONTOKEN")
        .header("x-amz-user-agent", agent)
        .header("authorization", authorization)
        .body(())
        .unwrap()
        .into_parts()
        .0
}

/// The golden request's and messages' date.
pub(in super::super) fn now() -> Timestamp {
    "2026-11-22T11:23:13Z".parse().unwrap()
}

/// Ready for the golden messages.
pub(in super::super) fn verifier() -> ChunkVerifier {
    keyring().verify(&request(), now()).unwrap()
}

fn refusal(change: impl FnOnce(&mut Parts)) -> String {
    let mut request = request();
    change(&mut request);
    let refusal = keyring().verify(&request, now()).unwrap_err();
    assert_eq!(refusal.status, 403);
    refusal.error
}

/// Ready for the golden messages, with this rule waived.
pub(in super::super) fn verifier_without(rule: u8) -> ChunkVerifier {
    let waived = Waived::NONE.and(rule).unwrap();
    Keyring { waived, ..keyring() }.verify(&request(), now()).unwrap()
}

#[test]
fn the_golden_request_canonicalises_and_signs_as_captured() {
    let canonical = canonical_request(&request(), SIGNED).unwrap();
    let hash = hex(&Sha256::digest(canonical));
    assert_eq!(hash, "e5d1b7b46238d494435314968a0c83defd4d89dee0d980d8a660209af075a5da");
    let key = signing_key(&keyring().secret_access_key, "20261122", "us-east-1");
    assert_eq!(hex(&key), "c2443b379186ea2aa895ac3ec635fed374bb393d56ae3cc9692baa1a107c2262");
    assert_eq!(keyring().verify(&request(), now()).unwrap().previous, SEED);
}

#[test]
fn the_golden_messages_chain_from_the_seed() {
    let mut chunks = verifier();
    let signatures = [
        "ec0c3a74125d116fe3c8a2af1dd454e60b58447fd8e03d22e033646145bd4354",
        "acd6a250f99662a40ea12b21bff62fa3b11c2da42cd7494a1d3367f126d17586",
        "c887dfabc993a769f42d3f9cb6c963d278ec59fe7f89975d59059ac7b5a3c43f",
    ];
    for (frame, signature) in FRAMES.iter().zip(signatures) {
        let frame = unhex(frame);
        let payload = &frame[12 + 67..frame.len() - 4];
        assert_eq!(chunks.verify(now(), &unhex(signature), payload, now()), Ok(()));
    }
}

#[test]
fn a_message_that_is_altered_or_out_of_order_does_not_chain() {
    let mut chunks = verifier();
    let (first, second) = (unhex(FRAMES[0]), unhex(FRAMES[1]));
    let signature = unhex("acd6a250f99662a40ea12b21bff62fa3b11c2da42cd7494a1d3367f126d17586");
    let payload = &second[79..second.len() - 4];
    assert_eq!(chunks.verify(now(), &signature, payload, now()), Err(ChunkError::Signature));
    let signature = unhex("ec0c3a74125d116fe3c8a2af1dd454e60b58447fd8e03d22e033646145bd4354");
    let altered = &first[80..first.len() - 4];
    assert_eq!(chunks.verify(now(), &signature, altered, now()), Err(ChunkError::Signature));
}

#[test]
fn message_dates_may_go_backwards_but_not_be_far_off() {
    let mut chunks = verifier();
    let early = now() - SignedDuration::from_secs(20);
    let signature = chunks.expected(early, b"");
    assert_eq!(chunks.verify(early, &signature, b"", now()), Ok(()));
    let signature = chunks.expected(now(), b"");
    let later = now() + SignedDuration::from_mins(6);
    assert_eq!(chunks.verify(now(), &signature, b"", later), Err(ChunkError::Skew));
}

#[test]
fn waived_rules_let_messages_pass() {
    let bad = [0; 32];
    assert_eq!(verifier_without(15).verify(now(), &bad, b"", now()), Ok(()));
    let mut undated = verifier_without(16);
    let signature = undated.expected(now(), b"");
    let later = now() + SignedDuration::from_mins(6);
    assert_eq!(undated.verify(now(), &signature, b"", later), Ok(()));
    assert_eq!(undated.verify(now(), &bad, b"", now()), Err(ChunkError::Signature));
}

#[test]
fn waived_rules_let_requests_pass() {
    let passes = |rule: u8, now: Timestamp, change: &dyn Fn(&mut Parts)| {
        let mut request = request();
        change(&mut request);
        let waived = Waived::NONE.and(rule).unwrap();
        Keyring { waived, ..keyring() }.verify(&request, now).is_ok()
    };
    let without = |name: &'static str| move |request: &mut Parts| drop(request.headers.remove(name));
    assert!(passes(3, now(), &without("authorization")));
    assert!(passes(4, now(), &without("x-amz-user-agent")));
    assert!(passes(7, now() + SignedDuration::from_mins(6), &|_| {}));
    let unknown = |request: &mut Parts| {
        let header = request.headers["authorization"].to_str().unwrap().replace("AKIDEXAMPLE", "AKIDOTHER");
        request.headers.insert("authorization", header.parse().unwrap());
    };
    assert!(passes(5, now(), &unknown));
    assert!(!passes(4, now(), &unknown));
}

#[test]
fn a_token_that_has_expired_is_refused_as_such() {
    let keyring = Keyring { expires_at: Some(now()), ..keyring() };
    assert_eq!(keyring.verify(&request(), now()).unwrap_err().error, "ExpiredTokenException");
    let before = now() - SignedDuration::from_secs(1);
    assert!(keyring.verify(&request(), before).is_ok());
}

#[test]
fn each_way_of_being_wrong_has_its_error() {
    let set = |name: &'static str, value: &'static str| {
        move |request: &mut Parts| drop(request.headers.insert(name, value.parse().unwrap()))
    };
    let replace = |from: &'static str, to: &'static str| {
        move |request: &mut Parts| {
            let header = request.headers["authorization"].to_str().unwrap().replace(from, to);
            request.headers.insert("authorization", header.parse().unwrap());
        }
    };
    let missing = |request: &mut Parts| drop(request.headers.remove("authorization"));
    assert_eq!(refusal(missing), "MissingAuthenticationTokenException");
    assert_eq!(refusal(replace("AKIDEXAMPLE", "AKIDOTHER")), "UnrecognizedClientException");
    assert_eq!(refusal(set("x-amz-security-token", "OTHER")), "UnrecognizedClientException");
    assert_eq!(refusal(replace("us-east-1", "us-west-2")), "InvalidSignatureException");
    assert_eq!(refusal(replace("/bedrock/", "/bedrock-runtime/")), "InvalidSignatureException");
    assert_eq!(refusal(replace("=db8a", "=db8b")), "InvalidSignatureException");
    assert_eq!(refusal(replace("host;", "")), "InvalidSignatureException");
    assert_eq!(refusal(set("x-amz-user-agent", "else")), "InvalidSignatureException");
    assert_eq!(refusal(set("x-amz-date", "20261122T112312Z")), "InvalidSignatureException");
    assert_eq!(refusal(set("authorization", "Bearer abc")), "InvalidSignatureException");
    let late = now() + SignedDuration::from_mins(6);
    assert_eq!(keyring().verify(&request(), late).unwrap_err().error, "InvalidSignatureException");
}
