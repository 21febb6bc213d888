//! How much this edge takes, and from whom.
//!
//! Everything here counts; nothing waits. What is over a limit is refused at once: a connection with 503, a request with
//! 429, a call that has not been answered yet with `<Reject>`. Webhooks of a call that is going on are never held against
//! the caller. The rules take the time as an argument; memory is bounded whoever calls.

pub mod buckets;
pub mod source;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use offhook_hosting::env::Reader;

use self::{
    buckets::Buckets,
    source::{Source, TrustedProxies},
};
use crate::twilio::sid::CallSid;

/// What a request that is not proven to be Twilio's counts as, against its source.
pub const FORGERY_COSTS: u32 = 20;
/// How often a minute it may be asked what to do with one call that is still ringing. Twilio asks once, and perhaps again.
const SAME_CALL: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Numbers that stand for "withheld" and the like (Twilio support, "Why am I getting calls from these strange
/// numbers?"): the words on a telephone's keys.
const KEYPAD_WORDS: [&str; 5] = ["+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"];
const WITHHELD: [&str; 6] = ["anonymous", "unknown", "restricted", "unavailable", "private", "blocked"];

/// What the environment says about limits.
#[derive(Clone, Debug)]
pub struct LimitsConfig {
    /// `TRUSTED_PROXIES`, default none: networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// `MAX_CONNECTIONS`, default `4096`: TCP connections of the public listener, media sockets included.
    pub connections: usize,
    /// `MAX_MEDIA_SOCKETS`, default `1000`: media sockets.
    pub media_sockets: usize,
    /// `MAX_REQUESTS_PER_SOURCE`, default `200`: requests a second from one address. None: no limit.
    pub requests_per_source: Option<u32>,
    /// `MAX_CALLS_PER_NUMBER`, default `50`: new calls a second to one of our numbers. None: no limit.
    pub calls_per_number: Option<u32>,
    /// `MAX_CALLS_PER_CALLER`, default `10`: new calls a minute from one number. None: no limit.
    pub calls_per_caller: Option<u32>,
}

impl LimitsConfig {
    /// Reads the variables.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let networks = "a comma list of networks such as 10.0.0.0/16";
        let trusted_proxies = reader.optional("TRUSTED_PROXIES", networks).unwrap_or_default();
        let connections = read_count(reader, "MAX_CONNECTIONS", 4096);
        let media_sockets = read_count(reader, "MAX_MEDIA_SOCKETS", 1000);
        Self {
            trusted_proxies,
            connections,
            media_sockets,
            requests_per_source: read_rate(reader, "MAX_REQUESTS_PER_SOURCE", 200),
            calls_per_number: read_rate(reader, "MAX_CALLS_PER_NUMBER", 50),
            calls_per_caller: read_rate(reader, "MAX_CALLS_PER_CALLER", 10),
        }
    }
}

fn read_count(reader: &mut Reader<'_>, name: &'static str, default: usize) -> usize {
    let parse = |text: &str| match text.parse() {
        Ok(count) if (1..=1_000_000).contains(&count) => Ok(count),
        Ok(_) | Err(_) => Err("expected a number from 1 to 1000000".to_owned()),
    };
    reader.parsed(name, parse).unwrap_or(default)
}

fn read_rate(reader: &mut Reader<'_>, name: &'static str, default: u32) -> Option<u32> {
    let parse = |text: &str| match text.parse() {
        Ok(rate) if rate <= 1_000_000 => Ok((rate > 0).then_some(rate)),
        Ok(_) | Err(_) => Err("expected a number from 1 to 1000000, or 0 for no limit".to_owned()),
    };
    reader.parsed(name, parse).unwrap_or(Some(default))
}

/// A limit that somebody has run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`LimitsConfig::connections`].
    Connections,
    /// [`LimitsConfig::media_sockets`].
    MediaSockets,
    /// [`LimitsConfig::requests_per_source`].
    Source,
    /// [`LimitsConfig::calls_per_number`].
    Number,
    /// [`LimitsConfig::calls_per_caller`].
    Caller,
    /// The same call rings again and again: its webhook is replayed.
    Replay,
}

impl Limit {
    /// The limit as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::MediaSockets => "media_sockets",
            Self::Source => "source",
            Self::Number => "number",
            Self::Caller => "caller",
            Self::Replay => "replay",
        }
    }
}

/// What has been used of each limit.
#[derive(Debug)]
pub struct Limits {
    media_sockets: usize,
    open: Arc<AtomicUsize>,
    sources: Option<Mutex<Buckets<Source>>>,
    /// Sources of proven requests. Only ever asked whether they are known.
    proven: Mutex<Buckets<Source>>,
    numbers: Option<Mutex<Buckets<u64>>>,
    callers: Option<Mutex<Buckets<u64>>>,
    calls: Mutex<Buckets<u64>>,
    /// Calls and numbers are kept as hashes: short, whatever was sent, and nobody's number.
    hasher: RandomState,
}

/// A media socket that counts while this lives.
#[derive(Debug)]
pub struct OpenSocket(Arc<AtomicUsize>);

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Limits {
    /// Nothing is used yet.
    pub fn new(config: &LimitsConfig) -> Self {
        Self {
            media_sockets: config.media_sockets,
            open: Arc::default(),
            sources: config.requests_per_source.map(|rate| Mutex::new(Buckets::new(rate, SECOND))),
            numbers: config.calls_per_number.map(|rate| Mutex::new(Buckets::new(rate, SECOND))),
            callers: config.calls_per_caller.map(|rate| Mutex::new(Buckets::new(rate, MINUTE))),
            proven: Mutex::new(Buckets::new(1, MINUTE)),
            calls: Mutex::new(Buckets::new(SAME_CALL, MINUTE)),
            hasher: RandomState::new(),
        }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// If its source has sent too many: the time until one more is taken.
    pub fn request(&self, source: Source, now: Instant) -> Result<(), Duration> {
        self.sources.as_ref().map_or(Ok(()), |sources| lock(sources).take(source, now))
    }

    /// The request that was counted last was Twilio's.
    pub fn proven(&self, source: Source, now: Instant) {
        lock(&self.proven).charge(source, 1, now);
    }

    /// The request that was counted last turned out not to be proven. Where Twilio's own come from it counts once, like
    /// any other: everybody with an account there can have Twilio send requests here, which are signed with their token.
    pub fn forged(&self, source: Source, now: Instant) {
        if let Some(sources) = &self.sources
            && !lock(&self.proven).knows(&source)
        {
            lock(sources).charge(source, FORGERY_COSTS, now);
        }
    }

    /// Counts a call that nobody has answered yet; once, however often it is asked about. `due` sockets are expected
    /// beside those that are open.
    ///
    /// # Errors
    /// With the limit that it is over.
    pub fn call(&self, call: &CallSid, from: &str, to: &str, due: usize, now: Instant) -> Result<(), Limit> {
        if self.open.load(Ordering::Relaxed) + due >= self.media_sockets {
            return Err(Limit::MediaSockets);
        }
        // Whoever has one signed request can send it for ever: it takes nothing away from callers and numbers.
        if !self.is_new(call, now)? {
            return Ok(());
        }
        if let (Some(callers), true) = (&self.callers, is_one_caller(from)) {
            lock(callers).take(self.hasher.hash_one(from), now).map_err(|_| Limit::Caller)?;
        }
        match &self.numbers {
            Some(numbers) => lock(numbers).take(self.hasher.hash_one(to), now).map_err(|_| Limit::Number),
            None => Ok(()),
        }
    }

    fn is_new(&self, call: &CallSid, now: Instant) -> Result<bool, Limit> {
        let (mut calls, call) = (lock(&self.calls), self.hasher.hash_one(call));
        let is_known = calls.knows(&call);
        calls.take(call, now).map_err(|_| Limit::Replay)?;
        Ok(!is_known)
    }

    /// Counts a media socket for as long as the result lives; `None` when there are too many.
    pub fn open_socket(&self) -> Option<OpenSocket> {
        let room = |open| (open < self.media_sockets).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(OpenSocket(self.open.clone()))
    }
}

/// Whether calls that give this as `From` are made by the same caller: a number or an address, not a word for "withheld".
fn is_one_caller(from: &str) -> bool {
    let name = from.strip_prefix("sips:").or_else(|| from.strip_prefix("sip:")).unwrap_or(from);
    let name = name.split(['@', ';']).next().unwrap_or_default();
    let is_withheld = WITHHELD.iter().any(|word| name.eq_ignore_ascii_case(word)) || KEYPAD_WORDS.contains(&name);
    !name.is_empty() && !is_withheld
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use offhook_hosting::{clock::Clock, env::Env};

    use super::*;

    const JANE: &str = "+15005550006";
    const DESK: &str = "+15005550009";

    fn limits(variables: &[(&str, &str)]) -> Limits {
        let env = Env::from_iter(variables.iter().copied());
        let mut reader = Reader::new(&env);
        let config = LimitsConfig::read(&mut reader);
        Limits::new(&reader.finish(Some(config)).unwrap())
    }

    /// The next call, from and to these.
    fn ring(limits: &Limits, from: &str, to: &str, due: usize, now: Instant) -> Result<(), Limit> {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        let call = format!("CA{:032}", CALLS.fetch_add(1, Ordering::Relaxed)).parse().unwrap();
        limits.call(&call, from, to, due, now)
    }

    fn source(address: &str) -> Source {
        TrustedProxies::default().source(address.parse().unwrap(), std::iter::empty()).unwrap()
    }

    #[test]
    fn a_source_that_forges_is_soon_shed_and_others_are_not() {
        let (limits, now) = (limits(&[]), Clock.now());
        let (forger, twilio) = (source("203.0.113.9"), source("198.51.100.1"));
        let mut looked_at = 0;
        for millis in 0..10_000 {
            let now = now + Duration::from_millis(millis);
            if limits.request(forger, now).is_ok() {
                looked_at += 1;
                limits.forged(forger, now);
            }
        }
        assert!((90..=110).contains(&looked_at), "200 requests a second, and each forgery counts as 21: {looked_at}");
        assert!((0..200).all(|_| limits.request(twilio, now).is_ok()));
    }

    #[test]
    fn whoever_has_twilio_send_forgeries_does_not_shed_what_twilio_sends_for_us() {
        let (limits, now) = (limits(&[]), Clock.now());
        let twilio = source("198.51.100.1");
        limits.request(twilio, now).unwrap();
        limits.proven(twilio, now);
        for _ in 0..100 {
            limits.request(twilio, now).unwrap();
            limits.forged(twilio, now);
        }
        assert!((0..99).all(|_| limits.request(twilio, now).is_ok()), "each has counted once");
        assert!(limits.request(twilio, now).is_err());
    }

    #[test]
    fn a_caller_who_redials_in_a_loop_is_turned_away_until_a_while_has_passed() {
        let (limits, now) = (limits(&[]), Clock.now());
        assert!((0..10).all(|_| ring(&limits, JANE, DESK, 0, now).is_ok()));
        assert_eq!(ring(&limits, JANE, DESK, 0, now), Err(Limit::Caller));
        assert_eq!(ring(&limits, "+15005550007", DESK, 0, now), Ok(()), "somebody else");
        assert_eq!(ring(&limits, JANE, DESK, 0, now + MINUTE / 10), Ok(()));
    }

    #[test]
    fn withheld_numbers_are_not_one_caller() {
        let (limits, now) = (limits(&[("MAX_CALLS_PER_CALLER", "1")]), Clock.now());
        for from in ["anonymous", "Anonymous", "unknown", "+266696687", "", "sip:anonymous@anonymous.invalid"] {
            assert!((0..3).all(|_| ring(&limits, from, DESK, 0, now).is_ok()), "{from}");
        }
        for from in ["sip:jane@example.com", "client:jane", JANE] {
            assert_eq!(ring(&limits, from, DESK, 0, now), Ok(()));
            assert_eq!(ring(&limits, from, DESK, 0, now), Err(Limit::Caller), "{from}");
        }
    }

    #[test]
    fn a_number_that_everybody_calls_at_once_is_busy() {
        let (limits, now) = (limits(&[("MAX_CALLS_PER_NUMBER", "2")]), Clock.now());
        assert!((0..2).all(|_| ring(&limits, "anonymous", DESK, 0, now).is_ok()));
        assert_eq!(ring(&limits, "anonymous", DESK, 0, now), Err(Limit::Number));
        assert_eq!(ring(&limits, "anonymous", "+15005550010", 0, now), Ok(()), "another number");
        assert_eq!(ring(&limits, "anonymous", DESK, 0, now + SECOND / 2), Ok(()));
    }

    #[test]
    fn sockets_count_while_they_are_open_and_those_that_are_due_count_for_calls() {
        let (limits, now) = (limits(&[("MAX_MEDIA_SOCKETS", "2")]), Clock.now());
        let first = limits.open_socket().unwrap();
        assert_eq!(ring(&limits, JANE, DESK, 0, now), Ok(()));
        assert_eq!(ring(&limits, JANE, DESK, 1, now), Err(Limit::MediaSockets));
        let second = limits.open_socket().unwrap();
        assert!(limits.open_socket().is_none());
        drop(first);
        assert!(limits.open_socket().is_some());
        drop(second);
    }

    #[test]
    fn a_webhook_that_is_replayed_uses_up_nobodys_limits_and_soon_gets_nothing() {
        let (limits, now) = (limits(&[("MAX_CALLS_PER_NUMBER", "2"), ("MAX_CALLS_PER_CALLER", "2")]), Clock.now());
        let call = "CA00000000000000000000000000000abc".parse().unwrap();
        let replay = || limits.call(&call, JANE, DESK, 0, now);
        assert!((0..SAME_CALL).all(|_| replay().is_ok()));
        assert!((0..100).all(|_| replay() == Err(Limit::Replay)));
        assert_eq!(ring(&limits, JANE, DESK, 0, now), Ok(()), "it has counted once");
    }

    #[test]
    fn zero_takes_a_rate_away() {
        let none = [("MAX_REQUESTS_PER_SOURCE", "0"), ("MAX_CALLS_PER_NUMBER", "0"), ("MAX_CALLS_PER_CALLER", "0")];
        let (limits, now) = (limits(&none), Clock.now());
        limits.forged(source("203.0.113.9"), now);
        assert!((0..10_000).all(|_| limits.request(source("203.0.113.9"), now).is_ok()));
        assert!((0..10_000).all(|_| ring(&limits, JANE, DESK, 0, now).is_ok()));
    }

    #[test]
    fn every_wrong_limit_is_reported() {
        let names = [
            "TRUSTED_PROXIES",
            "MAX_CONNECTIONS",
            "MAX_MEDIA_SOCKETS",
            "MAX_REQUESTS_PER_SOURCE",
            "MAX_CALLS_PER_NUMBER",
        ];
        let env = Env::from_iter(names.map(|name| (name, "-1")));
        let mut reader = Reader::new(&env);
        let config = LimitsConfig::read(&mut reader);
        assert_eq!(reader.finish(Some(config)).unwrap_err().names().collect::<Vec<_>>(), names);
    }
}
