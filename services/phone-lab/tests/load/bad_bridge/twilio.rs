//! The doors that Twilio knocks at.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::handshake::server::{ErrorResponse, Request, Response},
};

use super::{
    Defect, Shared,
    books::{Entry, now},
    call,
};
use crate::bridge;

const TOKEN: &str = "phone-lab-auth-token";
const HOST: &str = "voice.example.test";

pub(super) async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut head = [0; 4];
    stream.peek(&mut head).await.unwrap();
    if &head == b"POST" {
        webhook(&shared, &mut stream).await;
    } else {
        media_stream(&shared, stream).await;
    }
}

async fn webhook(shared: &Shared, stream: &mut TcpStream) {
    let Some(request) = bridge::request(stream).await else { return };
    let read = now();
    if !is_taken(&request, shared.defect) {
        return bridge::respond(stream, "403 Forbidden", "").await;
    }
    shared.defect.dawdle(Defect::AnswersLate).await;
    bridge::respond(stream, "200 OK", bridge::DOCUMENT).await;
    shared.books.took_since(Entry::Webhook, read);
}

fn is_taken(request: &str, defect: Defect) -> bool {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap();
    let signature = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("x-twilio-signature").then_some(value)
    });
    let mut form: Vec<_> = form_urlencoded::parse(body.as_bytes()).collect();
    form.sort();
    let form: String = form.iter().flat_map(|(name, value)| [&**name, &**value]).collect();
    let right = signature == Some(&sign(&format!("https://{HOST}{path}{form}")));
    right || defect == Defect::TakesUnsignedWebhooks || defect == Defect::TakesWrongSignatures && signature.is_some()
}

async fn media_stream(shared: &Shared, stream: TcpStream) {
    let accepted = now();
    shared.defect.dawdle(Defect::OpensSocketsLate).await;
    let defect = shared.defect;
    #[expect(clippy::result_large_err, reason = "the library's own type")]
    let check = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let right = sign(&format!("wss://{HOST}{}", request.uri().path()));
        let signed = request.headers().get("x-twilio-signature").is_some_and(|signature| *signature == *right);
        if signed || defect == Defect::TakesUnsignedSockets {
            return Ok(response);
        }
        Err(http::Response::builder().status(403).body(None).unwrap())
    };
    let Ok(socket) = accept_hdr_async(stream, check).await else { return };
    shared.books.took_since(Entry::Socket, accepted);
    Box::pin(call::bridge(shared, socket)).await;
}

/// Twilio docs, "Security".
fn sign(what: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(TOKEN.as_bytes()).unwrap();
    mac.update(what.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}
