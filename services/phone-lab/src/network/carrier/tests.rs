//! Time is paused: it moves on when everybody waits, so that times are exact.

use tokio::{
    io::duplex,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    super::{
        line::{End, Network, join},
        report::LineReport,
    },
    *,
};

const MS: Duration = Duration::from_millis(1);

impl Far for DuplexStream {
    fn reset(self) {}
}

/// A connection through such a network: the lab's end of it, and the other.
struct Rig {
    near: End,
    far: DuplexStream,
    record: Arc<Record>,
    carrier: JoinHandle<()>,
    opened: std::time::Instant,
}

impl Rig {
    fn new(text: &str) -> Self {
        let (far, socket) = duplex(1024);
        let opened = Clock.now();
        let (near, carrier) = join(socket, Network { conditions: &text.parse().unwrap(), seed: 3 }, Clock);
        let record = near.record();
        Self { near, far, record, carrier: tokio::spawn(carrier), opened }
    }

    fn now(&self) -> Duration {
        Clock.now() - self.opened
    }

    fn report(&self) -> LineReport {
        self.record.report(Clock.now())
    }
}

async fn read(from: &mut (impl AsyncRead + Unpin), bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    from.read_exact(&mut read).await.unwrap();
    read
}

/// To the millisecond, which is what timers have.
fn is_at(time: Duration, ms: u32) -> bool {
    (MS * ms..=MS * (ms + 1)).contains(&time)
}

#[tokio::test(start_paused = true)]
async fn bytes_take_as_long_as_the_network_does_each_way() {
    let mut rig = Rig::new("to.delay=40ms,from.delay=70ms");
    rig.near.pipe().write_all(b"hello").await.unwrap();
    assert_eq!(read(&mut rig.far, 5).await, b"hello");
    assert!(is_at(rig.now(), 40), "{:?}", rig.now());
    rig.far.write_all(b"good day").await.unwrap();
    assert_eq!(read(&mut rig.near, 8).await, b"good day");
    assert!(is_at(rig.now(), 110), "{:?}", rig.now());
    let report = rig.report();
    assert_eq!((report.to.bytes, report.from.bytes, report.cut), (5, 8, None));
}

#[tokio::test(start_paused = true)]
async fn a_burst_comes_whole_and_in_order() {
    let mut rig = Rig::new("jitter=30ms,burst=400ms/1s");
    let mut writer = rig.near;
    let sender = tokio::spawn(async move {
        for n in 0..200u8 {
            writer.pipe().write_all(&[n]).await.unwrap();
            sleep(MS * 20).await;
        }
        writer
    });
    let (mut got, mut gaps, mut before) = (Vec::new(), Vec::new(), Clock.now());
    for _ in 0..200 {
        got.extend(read(&mut rig.far, 1).await);
        gaps.push(Clock.now() - std::mem::replace(&mut before, Clock.now()));
    }
    assert_eq!(got, (0..200).collect::<Vec<_>>());
    let held = gaps.iter().filter(|gap| **gap > MS * 300).count();
    assert!((2..=5).contains(&held), "four seconds of a hold a second: {gaps:?}");
    drop(sender.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_slow_line_holds_its_sender_up() {
    let mut rig = Rig::new("from.rate=80kbit");
    let Rig { mut far, .. } = rig;
    let sender = tokio::spawn(async move {
        let mut sent = 0;
        while timeout(MS * 900, far.write_all(&[1; 100])).await.is_ok() {
            sent += 100;
        }
        sent
    });
    assert_eq!(read(&mut rig.near, 20_000).await.len(), 20_000);
    let took = Clock.now() - rig.opened;
    assert!((MS * 1900..MS * 2100).contains(&took), "10 kB a second: {took:?}");
    // From here on nobody reads: what the sender gets rid of is bounded.
    let sent = sender.await.unwrap();
    let most = 20_000 + 10_000 + 4 * 1024 + 1024 + 100;
    assert!((30_000..=most).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn what_the_lab_said_before_it_left_still_arrives() {
    let mut rig = Rig::new("delay=2s");
    rig.near.pipe().write_all(b"goodbye").await.unwrap();
    drop(rig.near);
    let mut got = Vec::new();
    rig.far.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"goodbye");
    rig.carrier.await.unwrap();
    assert!(is_at(Clock.now() - rig.opened, 2000));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_leaves_is_seen_to_after_its_last_words() {
    let mut rig = Rig::new("delay=50ms");
    rig.far.write_all(b"goodbye").await.unwrap();
    drop(rig.far);
    let mut got = Vec::new();
    rig.near.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"goodbye");
    assert!(is_at(Clock.now() - rig.opened, 50));
}

#[tokio::test(start_paused = true)]
async fn a_reset_loses_what_is_on_its_way() {
    let mut rig = Rig::new("delay=50ms,cut=rst@100ms");
    rig.near.pipe().write_all(b"in time").await.unwrap();
    sleep(MS * 60).await;
    rig.near.pipe().write_all(b"too late").await.unwrap();
    let error = rig.near.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let mut got = Vec::new();
    rig.far.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"in time");
    assert!(is_at(rig.report().cut.unwrap(), 100), "{:?}", rig.report());
    rig.carrier.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_finish_ends_both_ways_after_what_is_on_its_way() {
    let mut rig = Rig::new("delay=50ms,cut=fin@100ms");
    sleep(MS * 60).await;
    rig.near.pipe().write_all(b"still").await.unwrap();
    rig.far.write_all(b"good").await.unwrap();
    sleep(MS * 60).await;
    rig.near.pipe().write_all(b"lost").await.unwrap();
    let (mut near, mut far) = (Vec::new(), Vec::new());
    rig.near.read_to_end(&mut near).await.unwrap();
    rig.far.read_to_end(&mut far).await.unwrap();
    assert_eq!((near, far), (b"good".to_vec(), b"still".to_vec()));
    assert!(is_at(Clock.now() - rig.opened, 150));
    rig.carrier.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_is_left_to_the_protocol_above() {
    let mut rig = Rig::new("cut=close:1001@100ms");
    let goodbye = rig.near.goodbye();
    assert_eq!(goodbye.wanted().await, 1001);
    assert!(is_at(rig.now(), 100));
    rig.near.pipe().write_all(b"bye").await.unwrap();
    assert_eq!(read(&mut rig.far, 3).await, b"bye");
}

#[tokio::test(start_paused = true)]
async fn a_cut_after_so_many_bytes_lets_exactly_those_through() {
    let mut rig = Rig::new("cut=rst@1000B");
    rig.near.pipe().write_all(&[1; 700]).await.unwrap();
    assert_eq!(read(&mut rig.far, 700).await.len(), 700);
    rig.far.write_all(&[2; 700]).await.unwrap();
    let mut got = Vec::new();
    assert!(rig.near.read_to_end(&mut got).await.is_err());
    assert_eq!(got.len(), 300);
    assert_eq!(rig.report().to.bytes + rig.report().from.bytes, 1000);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_reads_is_not_waited_for_for_ever() {
    let mut rig = Rig::new("delay=50ms");
    rig.near.pipe().write_all(&[0; 2000]).await.unwrap();
    drop(rig.near);
    rig.carrier.await.unwrap();
    assert!(is_at(Clock.now() - rig.opened, 5050));
    drop(rig.far);
}
