use http::Uri;
use offhook_hosting::clock::Clock;

use super::{
    super::{
        WorkerTarget,
        doubles::{Double, address, pool, said},
    },
    *,
};

fn call() -> CallSid {
    "CA00000000000000000000000000000002".parse().unwrap()
}

fn id(port: u16) -> WorkerId {
    WorkerId::of(&address(port))
}

fn claim(key: &str) -> ClaimOutboundRequest {
    ClaimOutboundRequest { idempotency_key: key.to_owned(), fingerprint: vec![1].into() }
}

async fn next_step(pool: &WorkerPool, first: Option<u16>) -> Option<NextStepResponse> {
    let (worker, answer) = pool.next_step(&Span::none(), &call(), first.map(id)).await?;
    assert_eq!(worker, id(answer.agent.parse().unwrap()), "who says so is named");
    Some(answer)
}

#[tokio::test(start_paused = true)]
async fn the_worker_that_knows_the_call_answers_whatever_the_others_do() {
    let before = Clock.now();
    assert_eq!(next_step(&pool(&[1, 2, 3, 4, 9]), None).await, Some(said(9)));
    assert_eq!(Clock.now(), before, "nobody waited for the silent one");
    assert_eq!(next_step(&pool(&[1, 2, 4]), None).await, None);
}

#[tokio::test(start_paused = true)]
async fn whoever_reports_learns_which_worker_has_the_record() {
    let report = |ports: &'static [u16]| async {
        let report = ReportRequest { call_sid: call().to_string(), event: None };
        pool(ports).report(&Span::none(), &call(), report, None).await
    };
    assert_eq!(report(&[1, 2, 9, 4]).await, Some(id(9)));
    assert_eq!(report(&[1, 2, 4]).await, None);
}

#[tokio::test(start_paused = true)]
async fn workers_that_do_not_answer_cannot_outlast_twilios_patience() {
    let (pool, before) = (pool(&[1, 3, 3, 3]), Clock.now());
    assert_eq!(next_step(&pool, None).await, None);
    assert_eq!(Clock.now() - before, ANSWER_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn the_worker_that_should_know_is_asked_before_the_others_but_does_not_hold_them_up() {
    let pool = pool(&[3, 1, 7, 8, 9]);
    for port in [9, 8, 7] {
        assert_eq!(next_step(&pool, Some(port)).await, Some(said(port)));
    }
    for (silent, delay) in [(1, Duration::ZERO), (3, HEAD_START)] {
        let before = Clock.now();
        assert!(next_step(&pool, Some(silent)).await.is_some());
        assert_eq!(Clock.now() - before, delay);
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_held_by_the_worker_that_was_wanted_or_by_another_that_can() {
    let (span, call) = (Span::none(), call());
    assert_eq!(pool(&[7, 8, 9]).reserve(&span, &call, Some(id(9))).await, Some(id(9)));
    assert_eq!(pool(&[1, 2, 3, 4, 9]).reserve(&span, &call, Some(id(3))).await, Some(id(9)));
    assert_eq!(pool(&[1, 2, 4]).reserve(&span, &call, None).await, None);
    let before = Clock.now();
    assert_eq!(pool(&[3, 3, 3, 3, 3, 3, 3]).reserve(&span, &call, None).await, None);
    assert_eq!(Clock.now() - before, RESERVES_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_lost_when_asked_for_a_place_is_asked_last_next_time() {
    let pool = pool(&[4, 9]);
    let busy: Vec<_> = (0..2).map(|_| pool.lease(&[address(4)], &preference(9)).unwrap()).collect();
    assert_eq!(pool.candidates().first().map(|known| known.id), Some(id(4)), "it has no legs");
    pool.reserve(&Span::none(), &call(), None).await;
    assert_eq!(pool.candidates().first().map(|known| known.id), Some(id(9)));
    drop(busy);
}

fn preference(port: u16) -> super::super::Preference {
    super::super::Preference { worker: id(port), ticket: String::new() }
}

#[tokio::test(start_paused = true)]
async fn a_question_waits_for_the_first_resolution() {
    let targets = vec![WorkerTarget::Name { name: "127.0.0.1".to_owned(), port: 9 }];
    let (pool, span, call) = (WorkerPool::new(targets, Double::connect(), Clock), Span::none(), call());
    let step = tokio::select! {
        biased;
        step = pool.next_step(&span, &call, None) => step,
        never = pool.keep_resolving() => match never {},
    };
    assert_eq!(step, Some((id(9), said(9))));
}

#[tokio::test(start_paused = true)]
async fn all_edges_claim_a_key_at_the_same_worker_while_it_can_be_reached() {
    let (one, other, span) = (pool(&[5, 6, 7, 8, 9]), pool(&[9, 8, 7, 6, 5]), Span::none());
    let mut asked = Vec::new();
    for key in 0..40 {
        let claim = claim(&key.to_string());
        let (here, there) = (one.claim_outbound(&span, &claim).await, other.claim_outbound(&span, &claim).await);
        let claimed = here.unwrap();
        assert_eq!(there.unwrap(), claimed);
        assert!(one.settle_outbound(&span, claimed.worker, &SettleOutboundRequest::default()).await);
        asked.push(claimed.worker);
    }
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), 5, "the keys are spread");
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_refused_by_a_worker_or_goes_to_the_next_if_it_is_lost() {
    let span = Span::none();
    let code =
        async |ports: &[u16]| pool(ports).claim_outbound(&span, &claim("k")).await.map_err(|status| status.code());
    assert_eq!(code(&[1]).await, Err(Code::ResourceExhausted));
    assert_eq!(code(&[3, 4]).await, Err(Code::Unavailable));
    assert_eq!(code(&[3, 4, 9]).await.map(|claimed| claimed.worker), Ok(id(9)));
    let gone: Uri = "http://127.0.0.1:99".parse().unwrap();
    assert!(!pool(&[9]).settle_outbound(&span, WorkerId::of(&gone), &SettleOutboundRequest::default()).await);
}
