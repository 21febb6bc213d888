//! `docs/twilio-setup.md`, followed to the letter: its shell blocks are run one after the other, in one shell, against the
//! lab, with the services that they start; and the calls that it speaks of are made.
//!
//! Three things stand in: `cargo` (this test has built the services already), what the reader has to fill in, and
//! `TWILIO_API_BASE_URL` with the ports of this machine, which are the lab's.
//!
//! Not among the tests of `cargo test`, because it needs the tools that the page asks for: `.ci/run setup`.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails it as the test itself would")]

#[path = "../chaos/support.rs"]
#[expect(dead_code, reason = "only its binaries are wanted")]
mod support;

mod page;
mod shell;
mod world;

use phone_lab::{
    oracle,
    twilio::{CallEnd, CallReport, Happening},
};

use self::{page::Page, shell::Shell, world::World};

/// Asks for a human, speaks with one, and is with the agent again.
const THROUGH: &str = "[listen, { say: put me through }, connected, { listen: { quiet: 200ms } }, listen, hang_up]";

/// Nothing that a reader would find in Twilio's debugger, but for streams that were closed on purpose.
fn nothing_logged(report: &CallReport) {
    let codes: Vec<_> = report.codes.iter().filter(|entry| entry.code != 31921).collect();
    assert!(codes.is_empty(), "{codes:?}\n{report:?}");
}

fn hears(report: &CallReport, words: &[&str]) {
    let words: Vec<_> = words.iter().map(|&words| words.to_owned()).collect();
    let unmet = oracle::unmet(report, &words, &Default::default());
    assert!(unmet.is_empty(), "{unmet:?}\n{report:?}");
}

fn asked(report: &CallReport) -> Vec<&str> {
    let paths = report.timeline.iter().filter_map(|event| {
        let (Happening::Requested { path, .. } | Happening::CalledBack { path, .. }) = &event.what else { return None };
        Some(path.as_str())
    });
    paths.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_setup_page_leads_from_an_account_to_calls_both_ways() {
    let page = Page::read();
    let world = World::start().await;
    let mut shell = Shell::open(&world);

    shell.run(&page.block(1, 0)).await;
    world.fill_in(&page);
    shell.run(&page.block(1, 1)).await;
    for step in [2, 4] {
        shell.run_all(&page.blocks(step)).await;
    }
    assert!(shell.output().contains("offhook edge"), "{}", shell.output());
    let built = world.cargo_was_asked();
    assert_eq!(built, ["build --release --locked -p edge -p sonic-worker"]);

    shell.run_all(&page.blocks(5)).await;
    let number = shell.value("NUMBER").await;
    assert!(shell.output().contains("https://voice.example.test/incoming-call"), "{}", shell.output());

    // Step 6: "Call the number".
    let report = world.call(&number, "[listen, { say: hello there }, listen, hang_up]").await;
    hears(&report, &["how can i help", "you said hello there"]);
    assert_eq!(asked(&report).first(), Some(&"/incoming-call"));
    assert_eq!(asked(&report).last(), Some(&"/call-status"), "{:?}", asked(&report));
    nothing_logged(&report);

    shell.run_all(&page.blocks(7)).await;
    let domain = shell.value("DOMAIN").await;
    // "ask for a person: the softphone rings"
    let report = world.call(&number, THROUGH).await;
    hears(&report, &["desk here", "welcome back"]);
    let dialled = report.dialled.iter().map(|address| address.split(['?', ';']).next().unwrap()).collect::<Vec<_>>();
    assert_eq!(dialled, [format!("sip:desk@{domain}")]);
    nothing_logged(&report);
    // "Or call sip:agent@ and your domain"
    let report = world.call(&format!("sip:agent@{domain}"), "[listen, hang_up]").await;
    hears(&report, &["how can i help"]);
    assert_eq!(report.end, CallEnd::CallerHungUp);
    nothing_logged(&report);

    shell.run(&page.block(8, 0)).await;
    shell.run(&page.block(8, 1)).await;
    let report = world.placed_call(&shell.output()).await;
    hears(&report, &["how can i help"]);
    nothing_logged(&report);
    shell.run(&page.block(8, 2)).await;
    assert!(shell.output().contains("\"direction\": \"outbound-api\""), "{}", shell.output());

    shell.run_all(&page.blocks(10)).await;
    let report = world.call(&number, THROUGH).await;
    hears(&report, &["desk here", "welcome back"]);
    shell.run_all(&page.blocks(11)).await;
    assert!(world.model_was_used_by_the_book().await);
    let left: Vec<_> = world.debugger().into_iter().filter(|line| line.code != 31921).collect();
    assert!(left.is_empty(), "{left:?}");
}
