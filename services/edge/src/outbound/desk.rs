//! What the edge keeps between two requests for calls.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use hmac::{Hmac, KeyInit, Mac};
use offhook_hosting::entropy::Entropy;
use secrecy::ExposeSecret;
use sha2::Sha256;

use super::{
    OutboundConfig,
    limits::{Limits, Reached},
};

/// Takes requests for calls.
#[derive(Debug)]
pub struct Desk {
    /// As configured.
    pub config: OutboundConfig,
    limits: Mutex<Limits>,
    entropy: Mutex<Entropy>,
}

impl Desk {
    /// Nobody has asked for anything yet.
    pub fn new(config: OutboundConfig, entropy: Entropy) -> Self {
        let limits = Limits::new(config.calls_per_second, config.calls_per_day);
        Self { config, limits: Mutex::new(limits), entropy: Mutex::new(entropy) }
    }

    /// Whether an `Authorization` header has one of the tokens. How long that takes says nothing about them.
    pub fn is_authorized(&self, header: Option<&str>) -> bool {
        let scheme_and_token = header.and_then(|header| header.split_once(' '));
        let given = scheme_and_token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some((_, given)) = given else { return false };
        let given = digest(given.trim());
        let equal = self.config.tokens.iter().map(|token| {
            let right = digest(token.expose_secret()).finalize().into_bytes();
            given.clone().verify_slice(&right).is_ok()
        });
        equal.fold(false, |any, this| any | this)
    }

    /// Takes room for a call.
    ///
    /// # Errors
    /// If there is none.
    pub fn take_call(&self, now: Instant, unix_time: u64) -> Result<(), Reached> {
        lock(&self.limits).take_call(now, unix_time)
    }

    /// Counts a wrong token.
    ///
    /// # Errors
    /// If there were too many.
    pub fn take_wrong_token(&self, now: Instant) -> Result<(), Reached> {
        lock(&self.limits).take_wrong_token(now)
    }

    /// Two nonces.
    pub fn nonces(&self) -> [[u8; 12]; 2] {
        let mut entropy = lock(&self.entropy);
        [entropy.bytes(), entropy.bytes()]
    }

    /// A key for a request that has none.
    pub fn key(&self) -> String {
        lock(&self.entropy).uuid().to_string()
    }
}

fn digest(token: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"offhook outbound token").expect("HMAC takes keys of any length");
    mac.update(token.as_bytes());
    mac
}

/// No code that holds the lock can leave the value half changed, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use crate::outbound::callee::Allowed;

    use super::*;

    #[test]
    fn each_token_of_the_list_opens_and_nothing_else_does() {
        let from: offhook_agents::PhoneNumber = "+15550100100".parse().unwrap();
        let config = OutboundConfig {
            tokens: vec!["first".into(), "second".into()],
            allowed: Allowed::country_of(&from),
            from,
            default_to: None,
            calls_per_second: 1,
            calls_per_day: 1,
        };
        let desk = Desk::new(config, Entropy::from_seed(1));
        for right in ["Bearer first", "bearer second", "BEARER  second "] {
            assert!(desk.is_authorized(Some(right)), "{right}");
        }
        for wrong in [
            "",
            "first",
            "Bearer",
            "Bearer ",
            "Bearer firs",
            "Bearer firstsecond",
            "Basic first",
            "Bearer first second",
        ] {
            assert!(!desk.is_authorized(Some(wrong)), "{wrong}");
        }
        assert!(!desk.is_authorized(None));
    }
}
