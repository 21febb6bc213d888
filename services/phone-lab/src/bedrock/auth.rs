//! Signature Version 4 as the server checks it: the request's seed signature, then one signature per message, chained.
//!
//! Written from the AWS documentation ("Create a signed AWS API request", "Signature calculations: event streams") and
//! sharing no code with the client's signer, so that both agreeing means something. Pure: the time is an argument.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, request::Parts};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use sha2::{Digest, Sha256};

use super::{fault::Refusal, waived::Waived};

/// Bedrock signs as `bedrock`, not as its host name says.
const SERVICE: &str = "bedrock";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE_FORMAT: &str = "%Y%m%dT%H%M%SZ";
/// What temporary tokens begin with.
const TEMPORARY: &str = "phone-lab";
/// What the client of a session token is told that has expired.
pub(super) const EXPIRED: &str = "The security token included in the request is expired";
/// How far a client's clock may be off.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Who may call, and where.
#[derive(Clone)]
pub(super) struct Keyring {
    pub(super) region: String,
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    pub(super) session_token: Option<String>,
    /// When that token expires.
    pub(super) expires_at: Option<Timestamp>,
    /// Only tokens of [`temporary_token`] are known instead, each until its own expiry.
    pub(super) temporary: bool,
    pub(super) waived: Waived,
}

impl Keyring {
    /// Checks a request's `Authorization`. The result checks the messages that follow it.
    pub(super) fn verify(&self, request: &Parts, now: Timestamp) -> Result<ChunkVerifier, Refusal> {
        let header = request.headers.get("authorization").and_then(|value| value.to_str().ok());
        match header {
            Some(header) => self.verify_signed(request, header, now),
            None if self.waived.contains(3) => Ok(ChunkVerifier::of_unsigned()),
            None => Err(Refusal::new(403, "MissingAuthenticationTokenException", "Missing Authentication Token")),
        }
    }

    fn verify_signed(&self, request: &Parts, header: &str, now: Timestamp) -> Result<ChunkVerifier, Refusal> {
        let claim = Authorization::parse(header).ok_or_else(|| mismatch("malformed Authorization header"))?;
        let known = claim.access_key_id == self.access_key_id && self.knows_token(&request.headers);
        if !known && !self.waived.contains(5) {
            let message = "The security token included in the request is invalid.";
            return Err(Refusal::new(403, "UnrecognizedClientException", message));
        }
        if self.expires_at(&request.headers).is_some_and(|expiry| expiry <= now) {
            return Err(Refusal::new(403, "ExpiredTokenException", EXPIRED));
        }
        let stamp = text(&request.headers, "x-amz-date").ok_or_else(|| mismatch("x-amz-date is missing"))?;
        let date = parse_date(stamp).ok_or_else(|| mismatch("x-amz-date is malformed"))?;
        if date.duration_since(now).abs() > CLOCK_SKEW && !self.waived.contains(7) {
            return Err(mismatch("x-amz-date is more than 5 minutes off"));
        }
        match self.seed(request, &claim, stamp) {
            Ok((key, seed)) => {
                let (region, checked) = (self.region.clone(), true);
                Ok(ChunkVerifier { key, region, previous: seed, checked, waived: self.waived })
            }
            Err(_) if self.waived.contains(4) => Ok(ChunkVerifier::of_unsigned()),
            Err(refusal) => Err(refusal),
        }
    }

    /// The signing key and the seed signature, if the client signed as it should.
    fn seed(&self, request: &Parts, claim: &Authorization<'_>, stamp: &str) -> Result<([u8; 32], String), Refusal> {
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
        Ok((key, seed))
    }

    fn knows_token(&self, headers: &HeaderMap) -> bool {
        if self.temporary {
            return self.expires_at(headers).is_some();
        }
        text(headers, "x-amz-security-token") == self.session_token.as_deref()
    }

    /// When the token expires that came with these headers.
    pub(super) fn expires_at(&self, headers: &HeaderMap) -> Option<Timestamp> {
        if self.temporary {
            expiry_of(&self.secret_access_key, text(headers, "x-amz-security-token")?)
        } else {
            self.expires_at
        }
    }
}

/// A session token that says when it expires, in the lab's own way, signed with the secret of its key.
pub(super) fn temporary_token(secret: &str, expires_at: Timestamp) -> String {
    let expiry = expires_at.as_millisecond().to_string();
    format!("{TEMPORARY}.{expiry}.{}", hex(&hmac(secret.as_bytes(), expiry.as_bytes())))
}

/// When such a token expires; none if it is none.
fn expiry_of(secret: &str, token: &str) -> Option<Timestamp> {
    let expiry = token.strip_prefix(TEMPORARY)?.strip_prefix('.')?.split_once('.')?.0;
    let expires_at = Timestamp::from_millisecond(expiry.parse().ok()?).ok()?;
    (temporary_token(secret, expires_at) == token).then_some(expires_at)
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
    /// There is a key to check signatures with.
    checked: bool,
    waived: Waived,
}

/// Why a message is not the client's next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChunkError {
    #[error("the chunk signature does not match")]
    Signature,
    #[error("the message date is more than 5 minutes off")]
    Skew,
}

impl ChunkVerifier {
    /// Takes the messages of a client whose request was not checked, on trust.
    fn of_unsigned() -> Self {
        Self { key: [0; 32], region: String::new(), previous: String::new(), checked: false, waived: Waived::NONE }
    }

    /// Says whether a message may come without a signature.
    pub(super) fn takes_unsigned(&self) -> bool {
        !self.checked || self.waived.contains(14)
    }

    /// Checks the next message: its `:date`, its `:chunk-signature` and its payload (the inner frame). Dates may go
    /// backwards: the JavaScript SDK corrects its clock when the first answer is there.
    pub(super) fn verify(
        &mut self,
        date: Timestamp,
        signature: &[u8],
        payload: &[u8],
        now: Timestamp,
    ) -> Result<(), ChunkError> {
        let expected = self.expected(date, payload);
        if !self.checked {
            return Ok(());
        }
        if signature != expected && !self.waived.contains(15) {
            return Err(ChunkError::Signature);
        }
        if date.duration_since(now).abs() > CLOCK_SKEW && !self.waived.contains(16) {
            return Err(ChunkError::Skew);
        }
        self.previous = hex(signature);
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
            "host" | ":authority" => authority(request)?.to_owned(),
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

/// The host of a request: HTTP/2 has it in the URI, HTTP/1.1 in a header.
fn authority(request: &Parts) -> Option<&str> {
    request.uri.authority().map(http::uri::Authority::as_str).or_else(|| text(&request.headers, "host"))
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
pub(super) mod tests;
