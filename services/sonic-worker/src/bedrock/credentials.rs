use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError},
};

/// A session is opened with credentials that last longer than this, if there are any. The SDK's own cache gives them
/// out until seconds before their end, and so a session that is renewed because they run out would get the same again.
const ENOUGH: Duration = Duration::from_secs(5 * 60);
/// Those without an end may have been replaced, in a file for instance.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(15 * 60);
/// A caller is waiting.
const PATIENCE: Duration = Duration::from_secs(2);
/// A provider that takes longer is asked anew.
const HANGS_AFTER: Duration = Duration::from_secs(30);

/// What sessions are signed with: kept while they are good for long enough, and asked for again, once for all who wait,
/// when they are not.
#[derive(Debug)]
pub(super) struct KeptCredentials {
    provider: SharedCredentialsProvider,
    kept: Mutex<Option<Kept>>,
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Kept {
    credentials: Credentials,
    since: SystemTime,
}

impl Kept {
    fn lasts(&self, now: SystemTime) -> bool {
        match self.credentials.expiry() {
            Some(end) => end > now + ENOUGH,
            None => self.since + ASK_AGAIN_AFTER > now,
        }
    }

    fn is_good(&self, now: SystemTime) -> bool {
        self.credentials.expiry().is_none_or(|end| end > now)
    }
}

impl KeptCredentials {
    pub(super) fn new(provider: SharedCredentialsProvider) -> Self {
        Self { provider, kept: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// The best there are at the time of day `now`: those that last, else what the provider gives, else, when it gives
    /// none, those that it gave before until they end.
    ///
    /// # Errors
    /// The provider's, or that it took too long.
    pub(super) async fn get(self: &Arc<Self>, now: SystemTime) -> Result<Credentials, CredentialsError> {
        let before = self.kept();
        if let Some(kept) = before.as_ref().filter(|kept| kept.lasts(now)) {
            return Ok(kept.credentials.clone());
        }
        let asked = Arc::clone(self);
        // It goes on when nobody waits any more, so that the next session has what a slow provider brought.
        let asking = tokio::spawn(async move { asked.ask(now).await });
        let answer = match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(panicked)) => Err(CredentialsError::unhandled(panicked)),
            Err(_) => Err(CredentialsError::provider_timed_out(PATIENCE)),
        };
        match before.filter(|kept| kept.is_good(now)) {
            Some(kept) => Ok(answer.unwrap_or(kept.credentials)),
            None => answer,
        }
    }

    /// The service refused them: the next session asks for others.
    pub(super) fn forget(&self) {
        self.keep(None);
    }

    async fn ask(&self, now: SystemTime) -> Result<Credentials, CredentialsError> {
        let _one_at_a_time = self.asking.lock().await;
        if let Some(kept) = self.kept().filter(|kept| kept.lasts(now)) {
            return Ok(kept.credentials);
        }
        let answer = tokio::time::timeout(HANGS_AFTER, self.provider.provide_credentials()).await;
        let credentials = answer.map_err(|_| CredentialsError::provider_timed_out(HANGS_AFTER))??;
        self.keep(Some(Kept { credentials: credentials.clone(), since: now }));
        Ok(credentials)
    }

    fn kept(&self) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, kept: Option<Kept>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use aws_credential_types::provider::future;

    use super::*;

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    /// Gives out ever new credentials that last until `life` after [`START`], twice that, and so on.
    #[derive(Debug)]
    struct Rotating {
        life: Option<Duration>,
        given: Arc<AtomicU64>,
        manner: fn(u64) -> Manner,
    }

    /// How the provider answers when it is asked for the first time, the second, and so on.
    #[derive(Debug)]
    enum Manner {
        Gives,
        Fails,
        Takes(Duration),
    }

    impl ProvideCredentials for Rotating {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(async {
                let number = self.given.fetch_add(1, Ordering::SeqCst) + 1;
                match (self.manner)(number) {
                    Manner::Gives => {}
                    Manner::Fails => return Err(CredentialsError::provider_error("broken")),
                    Manner::Takes(time) => tokio::time::sleep(time).await,
                }
                let end = self.life.map(|life| START + life * u32::try_from(number).unwrap());
                Ok(Credentials::new(format!("AKID{number}"), "secret", None, end, "test"))
            })
        }
    }

    fn rotating(life: Option<Duration>) -> Rotating {
        Rotating { life, given: Arc::default(), manner: |_| Manner::Gives }
    }

    fn kept(provider: Rotating) -> Arc<KeptCredentials> {
        Arc::new(KeptCredentials::new(SharedCredentialsProvider::new(provider)))
    }

    async fn key(kept: &Arc<KeptCredentials>, now: SystemTime) -> String {
        kept.get(now).await.unwrap().access_key_id().to_owned()
    }

    #[tokio::test]
    async fn credentials_are_kept_until_five_minutes_before_they_end() {
        let kept = kept(rotating(Some(minutes(60))));
        assert_eq!(key(&kept, START).await, "AKID1");
        assert_eq!(key(&kept, START + minutes(54)).await, "AKID1");
        assert_eq!(key(&kept, START + minutes(55)).await, "AKID2");
        assert_eq!(key(&kept, START + minutes(56)).await, "AKID2");
    }

    #[tokio::test]
    async fn credentials_that_never_last_long_are_asked_for_each_time_and_used() {
        let kept = kept(rotating(Some(minutes(2))));
        assert_eq!(key(&kept, START).await, "AKID1");
        assert_eq!(key(&kept, START + minutes(1)).await, "AKID2");
    }

    #[tokio::test]
    async fn credentials_without_an_end_are_asked_for_again_after_a_quarter_of_an_hour() {
        let kept = kept(rotating(None));
        assert_eq!(key(&kept, START + minutes(14)).await, "AKID1");
        assert_eq!(key(&kept, START + minutes(28)).await, "AKID1");
        assert_eq!(key(&kept, START + minutes(29)).await, "AKID2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_fails_or_hangs_costs_no_session_while_the_old_credentials_are_good() {
        let fails = |number| if number == 1 { Manner::Gives } else { Manner::Fails };
        let hangs = |number| if number == 1 { Manner::Gives } else { Manner::Takes(Duration::MAX) };
        for manner in [fails, hangs] {
            let kept = kept(Rotating { manner, ..rotating(Some(minutes(60))) });
            assert_eq!(key(&kept, START).await, "AKID1");
            assert_eq!(key(&kept, START + minutes(59)).await, "AKID1");
            assert!(kept.get(START + minutes(60)).await.is_err(), "they have ended");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_slow_provider_brings_serves_the_next_session() {
        let slow = |_| Manner::Takes(2 * PATIENCE);
        let kept = kept(Rotating { manner: slow, ..rotating(Some(minutes(60))) });
        assert!(kept.get(START).await.is_err(), "a caller does not wait so long");
        tokio::time::sleep(2 * PATIENCE).await;
        assert_eq!(key(&kept, START).await, "AKID1");
    }

    #[tokio::test]
    async fn sessions_that_open_together_ask_once() {
        let provider = rotating(Some(minutes(60)));
        let given = Arc::clone(&provider.given);
        let kept = kept(provider);
        futures_util::future::join_all((0..10).map(|_| kept.get(START))).await;
        assert_eq!(given.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn credentials_that_the_service_refused_are_not_used_again() {
        let kept = kept(rotating(Some(minutes(60))));
        assert_eq!(key(&kept, START).await, "AKID1");
        kept.forget();
        assert_eq!(key(&kept, START).await, "AKID2");
    }
}
