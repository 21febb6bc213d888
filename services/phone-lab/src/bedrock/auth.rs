//! Signature Version 4 as the server checks it: the request's seed signature, then one signature per message, chained.
//!
//! Written from the AWS documentation ("Create a signed AWS API request", "Signature calculations: event streams") and
//! sharing no code with the client's signer, so that both agreeing means something. Pure: the time is an argument.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Uri, request::Parts};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use sha2::{Digest, Sha256};

use super::fault::Refusal;

/// Bedrock signs as `bedrock`, not as its host name says.
const SERVICE: &str = "bedrock";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE_FORMAT: &str = "%Y%m%dT%H%M%SZ";
/// How far a client's clock may be off.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);
/// How far the dates of a stream may go backwards.
const DATE_SLACK: SignedDuration = SignedDuration::from_secs(1);

/// Who may call, and where.
#[derive(Clone)]
pub(super) struct Keyring {
    pub(super) region: String,
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    pub(super) session_token: Option<String>,
}

impl Keyring {
    /// Checks a request's `Authorization`. The result checks the messages that follow it.
    pub(super) fn verify(&self, request: &Parts, now: Timestamp) -> Result<ChunkVerifier, Refusal> {
        let header = request.headers.get("authorization").and_then(|value| value.to_str().ok());
        let header = header.ok_or_else(|| Refusal::new(403, "MissingAuthenticationTokenException", "Missing token"))?;
        let claim = Authorization::parse(header).ok_or_else(|| mismatch("malformed Authorization header"))?;
        if claim.access_key_id != self.access_key_id || !self.knows_token(&request.headers) {
            let message = "The security token included in the request is invalid.";
            return Err(Refusal::new(403, "UnrecognizedClientException", message));
        }
        let stamp = text(&request.headers, "x-amz-date").ok_or_else(|| mismatch("x-amz-date is missing"))?;
        let date = parse_date(stamp).ok_or_else(|| mismatch("x-amz-date is malformed"))?;
        if date.duration_since(now).abs() > CLOCK_SKEW {
            return Err(mismatch("x-amz-date is more than 5 minutes off"));
        }
        let scope = format!("{}/{}/{SERVICE}/aws4_request", &stamp[..8], self.region);
        if claim.scope != scope {
            return Err(mismatch("Credential should be scoped to a valid date, region and service"));
        }
        if !["host", ":authority"].iter().any(|host| claim.signs(host)) || !claim.signs("x-amz-date") {
            return Err(mismatch("host and x-amz-date must be signed"));
        }
        let canonical =
            canonical_request(request, claim.signed_headers).ok_or_else(|| mismatch("bad SignedHeaders"))?;
        let to_sign = format!("{ALGORITHM}\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let key = signing_key(&self.secret_access_key, &stamp[..8], &self.region);
        let seed = hex(&hmac(&key, to_sign.as_bytes()));
        if seed != claim.signature {
            let message = "The request signature we calculated does not match the signature you provided.";
            return Err(mismatch(message));
        }
        Ok(ChunkVerifier { key, region: self.region.clone(), previous: seed, latest: date })
    }

    fn knows_token(&self, headers: &HeaderMap) -> bool {
        text(headers, "x-amz-security-token") == self.session_token.as_deref()
    }
}

fn mismatch(message: &str) -> Refusal {
    Refusal::new(403, "InvalidSignatureException", message)
}

/// Checks the signatures of one stream's messages, each chained to the one before.
#[derive(Debug)]
pub(super) struct ChunkVerifier {
    key: [u8; 32],
    region: String,
    previous: String,
    latest: Timestamp,
}

/// Why a message is not the client's next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChunkError {
    #[error("the chunk signature does not match")]
    Signature,
    #[error("the message date is more than 5 minutes off")]
    Skew,
    #[error("the message dates go backwards")]
    Backwards,
}

impl ChunkVerifier {
    /// Checks the next message: its `:date`, its `:chunk-signature` and its payload (the inner frame).
    pub(super) fn verify(
        &mut self,
        date: Timestamp,
        signature: &[u8],
        payload: &[u8],
        now: Timestamp,
    ) -> Result<(), ChunkError> {
        let expected = self.expected(date, payload);
        if signature != expected {
            return Err(ChunkError::Signature);
        }
        if date.duration_since(now).abs() > CLOCK_SKEW {
            return Err(ChunkError::Skew);
        }
        if self.latest.duration_since(date) > DATE_SLACK {
            return Err(ChunkError::Backwards);
        }
        self.latest = self.latest.max(date);
        self.previous = hex(&expected);
        Ok(())
    }

    fn expected(&self, date: Timestamp, payload: &[u8]) -> [u8; 32] {
        let stamp = date.strftime(DATE_FORMAT).to_string();
        // The header is hashed as it is encoded: name length, name, type 8 (timestamp), milliseconds.
        let mut header = *b"\x05:date\x08\0\0\0\0\0\0\0\0";
        header[7..].copy_from_slice(&date.as_millisecond().to_be_bytes());
        let to_sign = format!(
            "{ALGORITHM}-PAYLOAD\n{stamp}\n{}/{}/{SERVICE}/aws4_request\n{}\n{}\n{}",
            &stamp[..8],
            self.region,
            self.previous,
            hex(&Sha256::digest(header)),
            hex(&Sha256::digest(payload)),
        );
        hmac(&self.key, to_sign.as_bytes())
    }
}

/// What an `Authorization` header claims.
struct Authorization<'a> {
    access_key_id: &'a str,
    scope: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn parse(header: &'a str) -> Option<Self> {
        let fields = header.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
        let field = |name: &str| {
            let value = |part: &'a str| part.trim().strip_prefix(name)?.strip_prefix('=');
            fields.split(',').find_map(value)
        };
        let (access_key_id, scope) = field("Credential")?.split_once('/')?;
        Some(Self { access_key_id, scope, signed_headers: field("SignedHeaders")?, signature: field("Signature")? })
    }

    fn signs(&self, name: &str) -> bool {
        self.signed_headers.split(';').any(|signed| signed == name)
    }
}

/// The canonical request; none if a signed header is absent or the request names no host.
fn canonical_request(request: &Parts, signed_headers: &str) -> Option<String> {
    let mut canonical = format!("{}\n{}\n\n", request.method, encode_again(request.uri.path()));
    for name in signed_headers.split(';') {
        let value = match name {
            "host" | ":authority" => authority(&request.uri)?.to_owned(),
            name => canonical_value(&request.headers, name)?,
        };
        canonical.push_str(&format!("{name}:{value}\n"));
    }
    // Clients that send no hash sign the empty body (the Rust SDK); the others name what they signed.
    let payload = text(&request.headers, "x-amz-content-sha256").map(str::to_owned);
    let payload = payload.unwrap_or_else(|| hex(&Sha256::digest(b"")));
    canonical.push_str(&format!("\n{signed_headers}\n{payload}"));
    Some(canonical)
}

fn authority(uri: &Uri) -> Option<&str> {
    uri.authority().map(http::uri::Authority::as_str)
}

/// A header's values, trimmed, inner runs of spaces as one, joined by commas.
fn canonical_value(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Option<Vec<_>> = headers
        .get_all(name)
        .iter()
        .map(|value| Some(value.to_str().ok()?.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    values.filter(|values| !values.is_empty()).map(|values| values.join(","))
}

/// The path as every service but S3 signs it: percent-encoded once more.
fn encode_again(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len() + 8);
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => encoded.push(byte.into()),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

fn signing_key(secret: &str, day: &str, region: &str) -> [u8; 32] {
    let day = hmac(format!("AWS4{secret}").as_bytes(), day.as_bytes());
    let region = hmac(&day, region.as_bytes());
    hmac(&hmac(&region, SERVICE.as_bytes()), b"aws4_request")
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn parse_date(stamp: &str) -> Option<Timestamp> {
    let date = DateTime::strptime(DATE_FORMAT, stamp).ok()?;
    // The parser is lenient about digits; the scope below is cut out of the text by position.
    let canonical = date.strftime(DATE_FORMAT).to_string() == stamp;
    canonical.then(|| date.to_zoned(TimeZone::UTC).ok())?.map(|zoned| zoned.timestamp())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|&byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
pub(super) mod tests {
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
        keyring().verify(&request, now()).unwrap_err().error
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
    fn message_dates_may_neither_be_far_off_nor_go_backwards() {
        let mut chunks = verifier();
        let early = now() - SignedDuration::from_secs(2);
        let signature = chunks.expected(early, b"");
        assert_eq!(chunks.verify(early, &signature, b"", now()), Err(ChunkError::Backwards));
        let signature = chunks.expected(now(), b"");
        let later = now() + SignedDuration::from_mins(6);
        assert_eq!(chunks.verify(now(), &signature, b"", later), Err(ChunkError::Skew));
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
}
