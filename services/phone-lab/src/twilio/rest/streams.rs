//! A call's media streams as a resource (Twilio docs, "Stream resource"): it stops one, by its SID or its name.
//!
//! Twilio's documentation says that this is for one-way streams. The lab has two-way ones only, and refuses unless told
//! to be more lenient ([`super::RestSettings::stops_two_way_streams`]).

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    ENDING, Inner,
    request::{Form, Refusal},
};
use crate::twilio::{codes, ledger::Update, resource::rfc2822};

impl Inner {
    pub(super) async fn stop_stream(
        &self,
        path: &str,
        call_sid: &str,
        stream: &str,
        form: &Form,
    ) -> Result<Value, Refusal> {
        let not_found = || Refusal::not_found(path);
        let ledger = &self.twilio.ledger;
        let (entry, updates) = ledger.find(call_sid).ok_or_else(not_found)?;
        let up = ledger.stream_of(call_sid).filter(|up| up.sid == stream || up.name.as_deref() == Some(stream));
        let up = up.ok_or_else(not_found)?;
        if form.text("Status") != Some("stopped") {
            return Err(Refusal::new(400, codes::BAD_CALL_STATE, "the Status of a stream can only become stopped"));
        }
        if !self.settings.stops_two_way_streams {
            return Err(Refusal::new(400, codes::BAD_CALL_STATE, "a two-way stream ends with its call, or is closed"));
        }
        let too_many = |_| Refusal::new(429, codes::TOO_MANY_REQUESTS, "Too Many Requests");
        updates.try_send(Update::StopStream(up.sid.clone())).map_err(too_many)?;
        let _ = timeout(ENDING, ledger.stream_over(call_sid, &up.sid)).await;
        let account_sid = &entry.identity.account_sid;
        Ok(json!({
            "account_sid": account_sid,
            "call_sid": call_sid,
            "date_updated": rfc2822(ledger.wall()),
            "name": up.name,
            "sid": up.sid,
            "status": "stopped",
            "uri": format!("/2010-04-01/Accounts/{account_sid}/Calls/{call_sid}/Streams/{}.json", up.sid),
        }))
    }
}
