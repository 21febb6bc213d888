//! URLs that mean one thing to whoever checks them and another to whoever serves them.

use crate::{
    http::Request,
    support::{Doors, HOST, assert_refused, form, genuine_stream},
};

/// Other spellings of a path. None of them is the path, and no server in between may make it so.
fn spellings(path: &str) -> Vec<String> {
    let (first, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let tail = if rest.is_empty() { String::new() } else { format!("/{rest}") };
    let encoded: String = first.bytes().map(|byte| format!("%{byte:02x}")).collect();
    vec![
        format!("/{path}"),
        format!("{path}/"),
        format!("{path}//"),
        format!("/.{path}"),
        format!("/x/..{path}"),
        format!("/%2e{path}"),
        format!("/%2e%2e{path}"),
        format!("/x/%2e%2e{path}"),
        format!("/{encoded}{tail}"),
        format!("%2f{}", &path[1..]),
        format!("/{}", path[1..].replace('/', "%2f")),
        format!("/{}", path[1..].replace('/', "//")),
        path.to_ascii_uppercase(),
        format!("{path}?"),
        format!("{path}?x=1"),
        format!("{path};x=1"),
        format!("{path}%00"),
        format!("{path}%20"),
        format!("{path}\\"),
        format!("//{HOST}{path}"),
    ]
    .into_iter()
    .filter(|spelling| spelling != path)
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_good_for_one_spelling_of_a_webhooks_url() {
    let doors = Doors::open().await;
    doors
        .beside_an_honest_call(async |doors| {
            for edge in doors.edges {
                let genuine = Request::webhook("/incoming-call", &form(&[])).signed();
                for target in spellings("/incoming-call") {
                    assert_refused(&genuine.clone().to(&target).send(edge).await, &target);
                }
                // The whole URL in the request line: what counts is its path, which is another one.
                let absolute = genuine.clone().to(&format!("https://{HOST}/failover"));
                assert_refused(&absolute.send(edge).await, "an absolute target");
            }
        })
        .await;
    doors.close().await;
}

/// Pitfall 4: a query on the socket's URL does not arrive, so nothing may hang on one.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_good_for_one_spelling_of_a_media_sockets_url() {
    let doors = Doors::open().await;
    doors
        .beside_an_honest_call(async |doors| {
            for edge in doors.edges {
                let (_, path) = genuine_stream(edge).await;
                let signature = Request::upgrade(&path).signature();
                for target in spellings(&path) {
                    let upgrade = Request::upgrade(&target).with("x-twilio-signature", &signature);
                    assert_refused(&upgrade.send(edge).await, &target);
                }
                let as_webhook = Request::webhook(&path, "").signature();
                let upgrade = Request::upgrade(&path).with("x-twilio-signature", &as_webhook);
                assert_refused(&upgrade.send(edge).await, "signed as https");
            }
        })
        .await;
    doors.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_header_makes_one_url_out_of_another() {
    let doors = Doors::open().await;
    doors
        .beside_an_honest_call(async |doors| {
            for edge in doors.edges {
                // Signed for another door, which the header names: what is served is what was asked for.
                let elsewhere = Request::webhook("/failover", &form(&[])).signature();
                let asked = Request::webhook("/incoming-call", &form(&[])).with("x-twilio-signature", &elsewhere);
                for header in
                    ["x-original-url", "x-rewrite-url", "x-forwarded-path", "x-forwarded-uri", "x-original-uri"]
                {
                    assert_refused(&asked.clone().with(header, "/failover").send(edge).await, header);
                    let front = Request { method: "GET", ..Request::webhook("/", "") }.with(header, "/incoming-call");
                    assert_eq!(front.send(edge).await.body, "offhook edge\n", "{header}");
                }
                // Signed for another host, by whoever has the token of another account there.
                let foreign =
                    phone_lab::twilio::signature::of_url("their-token", "https://evil.example.test/incoming-call");
                let asked = Request::webhook("/incoming-call", "").with("x-twilio-signature", &foreign);
                let hosts = ["host", "x-forwarded-host", "x-host", "forwarded"];
                for header in hosts {
                    let value = if header == "forwarded" { "host=evil.example.test" } else { "evil.example.test" };
                    let asked = match header {
                        "host" => Request { host: value.into(), ..asked.clone() },
                        _ => asked.clone().with(header, value),
                    };
                    assert_refused(&asked.send(edge).await, header);
                }
            }
        })
        .await;
    doors.close().await;
}
