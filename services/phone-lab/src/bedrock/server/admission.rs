//! Everything that is decided before a session starts.

use std::sync::atomic::Ordering;

use http::{Method, Version, request::Parts};
use jiff::Timestamp;
use offhook_hosting::entropy::Entropy;

use super::{
    super::{
        auth::ChunkVerifier,
        events::Generation,
        fault::{Fault, Refusal},
        record::lock,
        report::Protocol,
        settings::Settings,
    },
    Counted, EVENT_STREAM, Shared,
};

/// Where Nova 2 Sonic is offered, and v1 was (AWS, model cards).
const REGIONS_V2: [&str; 4] = ["us-east-1", "us-west-2", "eu-north-1", "ap-northeast-1"];
const REGIONS_V1: [&str; 3] = ["us-east-1", "eu-north-1", "ap-northeast-1"];
/// When v1 reached its end of life, as seconds of Unix time: 2026-09-14.
const V1_END: i64 = 1_789_344_000;

/// A request that may become a session.
pub(super) struct Admission {
    pub(super) chunks: ChunkVerifier,
    pub(super) model: Generation,
    pub(super) protocol: Protocol,
    pub(super) faults: Vec<Fault>,
    pub(super) slot: Counted,
    /// When the session token expires.
    pub(super) expires_at: Option<Timestamp>,
}

impl Shared {
    /// Everything that is decided before a session starts.
    pub(super) fn admit(&self, head: &Parts, now: Timestamp, entropy: &mut Entropy) -> Result<Admission, Refusal> {
        let settings = &self.settings;
        let model = operation(head)?;
        if !settings.waived.contains(2) && head.headers.get("content-type").is_none_or(|kind| kind != EVENT_STREAM) {
            return Err(settings.wrong_content_type.clone());
        }
        let chunks = self.keyring.verify(head, now)?;
        let model = Generation::of_model(&model).ok_or_else(|| settings.unknown_model.clone())?;
        if !is_offered(model, &settings.region, now) && !settings.waived.contains(9) {
            return Err(Refusal::not_found());
        }
        if settings.access_denied {
            return Err(Refusal::access_denied());
        }
        let slot = Counted::below(&self.live, settings.max_sessions).ok_or_else(|| settings.over_quota.clone())?;
        let faults = self.draw_faults(entropy);
        let refusal =
            faults.iter().find_map(|fault| if let Fault::Refuse(refusal) = fault { Some(refusal) } else { None });
        match refusal {
            Some(refusal) => Err(refusal.clone()),
            None => {
                let protocol = if head.version == Version::HTTP_2 { Protocol::Http2 } else { Protocol::Http1 };
                let expires_at = self.keyring.expires_at(&head.headers);
                Ok(Admission { chunks, model, protocol, faults, slot, expires_at })
            }
        }
    }

    /// What goes wrong in the next session: what was injected, else what the settings and the script say.
    fn draw_faults(&self, entropy: &mut Entropy) -> Vec<Fault> {
        // Drawn in any case, so that an injected fault changes nothing but its own session.
        let Settings { faults, fault_probability, script, .. } = &*self.settings;
        let drawn = faults.iter().map(|fault| fault_probability.strikes(entropy).then(|| fault.clone()));
        let mut drawn: Vec<_> = drawn.collect();
        drawn.extend(script.risks().iter().map(|risk| risk.draw(entropy)));
        let nth = self.admitted.fetch_add(1, Ordering::Relaxed);
        drawn.extend(script.risk_of(nth).map(|risk| risk.draw(entropy)));
        match lock(&self.faults).pop_front() {
            Some(fault) => vec![fault],
            None => drawn.into_iter().flatten().collect(),
        }
    }
}

/// The id of the model that a request is for, if it is for one.
fn operation(head: &Parts) -> Result<String, Refusal> {
    let path = head.uri.path().strip_prefix("/model/");
    let model = path.and_then(|path| path.strip_suffix("/invoke-with-bidirectional-stream"));
    // The Python SDK sends a question mark with nothing behind it, and is understood.
    let bare = head.uri.query().is_none_or(str::is_empty);
    let model = model.filter(|model| !model.contains('/') && head.method == Method::POST && bare);
    let Some(model) = model else {
        return Err(Refusal::new(404, "UnknownOperationException", "there is no such operation"));
    };
    Ok(model.replace("%3A", ":"))
}

/// Says whether this region has the model at this time.
fn is_offered(model: Generation, region: &str, now: Timestamp) -> bool {
    match model {
        Generation::V1 => REGIONS_V1.contains(&region) && now.as_second() < V1_END,
        Generation::V2 => REGIONS_V2.contains(&region),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn operation_of(method: &str, path: &str) -> Result<String, (u16, String)> {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        operation(&request.into_parts().0).map_err(|refusal| (refusal.status, refusal.error))
    }

    #[test]
    fn there_is_one_operation() {
        let path = "/model/amazon.nova-2-sonic-v1%3A0/invoke-with-bidirectional-stream";
        let known = Ok("amazon.nova-2-sonic-v1:0".to_owned());
        assert_eq!((operation_of("POST", path), operation_of("POST", &format!("{path}?"))), (known.clone(), known));
        let unknown = Err((404, "UnknownOperationException".to_owned()));
        assert_eq!(operation_of("GET", path), unknown);
        assert_eq!(operation_of("POST", &format!("{path}?a=b")), unknown);
        assert_eq!(operation_of("POST", "/model/x/converse"), unknown);
    }

    #[test]
    fn models_have_their_regions_and_v1_its_end() {
        let (before, after) = ("2026-09-13T23:59:59Z".parse().unwrap(), "2026-09-14T00:00:00Z".parse().unwrap());
        assert!(is_offered(Generation::V1, "us-east-1", before));
        assert!(!is_offered(Generation::V1, "us-east-1", after));
        assert!(!is_offered(Generation::V1, "us-west-2", before));
        assert!(is_offered(Generation::V2, "us-west-2", after));
        assert!(!is_offered(Generation::V2, "eu-west-1", after));
    }
}
