//! A strict Twilio, as far as a call to the edge needs it, with callers who know what they hear.
//!
//! - [`Twilio`] places calls; what happened is a [`CallReport`].
//! - [`script`] is what a caller is going to do, [`caller`] the caller who does it.
//! - [`webhook`], [`signature`], [`twiml`], [`interpreter`]: how Twilio asks what to do and does it.
//! - [`media`], [`playout`]: the media stream's messages, and what becomes of the audio.
//!
//! Rules live in modules that know no socket, task or clock: [`signature`], [`url`], [`twiml`], [`interpreter`],
//! [`media`], [`playout`], [`script`], [`caller`]. What Twilio would write into its debugger is in the report under the
//! same code ([`codes`]); where Twilio's documentation is silent, the choice is in the code that makes it.

mod call;
pub mod caller;
pub mod codes;
pub mod interpreter;
pub mod media;
mod phone;
pub mod playout;
pub mod report;
pub mod script;
pub mod sid;
pub mod signature;
mod stream;
pub mod twiml;
pub mod url;
pub mod webhook;

use std::{
    fmt,
    net::SocketAddr,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use offhook_hosting::{clock::Clock, entropy::Entropy};
use tokio::sync::mpsc;

pub use self::{
    report::{CallEnd, CallEvent, CallReport, Clear, DebuggerEntry, Happening, Utterance},
    script::{CallerScript, ScriptError},
    stream::RawMessage,
    webhook::Signing,
};
use self::{twiml::Method, url::Url};

/// A Twilio account.
#[derive(Clone)]
pub struct Account {
    /// `AC…`.
    pub account_sid: String,
    /// What signs requests.
    pub auth_token: String,
}

impl Default for Account {
    /// The lab's account, which is nobody's.
    fn default() -> Self {
        Self { account_sid: format!("AC{:032}", 0), auth_token: "phone-lab-auth-token".to_owned() }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("account_sid", &self.account_sid).finish_non_exhaustive()
    }
}

/// How a number is configured at Twilio, and where the lab finds the edge behind it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose calls these are.
    pub account: Account,
    /// Where the edge listens. It is dialled in plain HTTP: the lab is the load balancer as well.
    pub edge: SocketAddr,
    /// The number's Voice URL: public, signed as it stands, the only host the lab knows.
    pub voice_url: Url,
    /// How the Voice URL is requested.
    pub voice_method: Method,
    /// The number's fallback URL.
    pub fallback_url: Option<Url>,
    /// How long the line is silent between a stream and what follows it. Measured calls show some 0.1 to 0.7 s.
    pub gap: Range<Duration>,
}

impl Settings {
    /// The lab's account and a Voice URL of `/incoming-call` under a public URL such as `https://voice.example.test`.
    pub fn new(edge: SocketAddr, public_url: &Url) -> Self {
        Self {
            account: Account::default(),
            edge,
            voice_url: public_url.join("/incoming-call").expect("an absolute path goes with any URL"),
            voice_method: Method::Post,
            fallback_url: None,
            gap: Duration::from_millis(100)..Duration::from_millis(700),
        }
    }
}

/// Whoever is reached by `<Dial>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Human {
    /// Answers after ringing for so long, says this and hangs up.
    Answers {
        /// How long it rings.
        after: Duration,
        /// In tone words.
        says: String,
    },
    /// Is on the phone.
    Busy,
    /// Lets it ring.
    NoAnswer,
}

impl Default for Human {
    fn default() -> Self {
        Self::Answers { after: Duration::from_millis(200), says: "human here".to_owned() }
    }
}

/// What is special about one call. The default is a call that Twilio has nothing to do with but to carry.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// How webhooks are signed.
    pub signing: Signing,
    /// How the streams' upgrades are signed.
    pub stream_signing: Signing,
    /// The call's first stream is cut without a word after this long.
    pub cut_after: Option<Duration>,
    /// The caller hangs up between the first stream's `connected` and `start`.
    pub hang_up_before_start: bool,
    /// Sent on the call's first stream besides what Twilio sends, each at its time since the stream opened.
    pub extra_messages: Vec<(Duration, RawMessage)>,
    /// Who answers `<Dial>`.
    pub human: Human,
    /// Whether the report keeps both tracks and each utterance's sound: 32 kB for every second of the call.
    pub keep_audio: bool,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            signing: Signing::Right,
            stream_signing: Signing::Right,
            cut_after: None,
            hang_up_before_start: false,
            extra_messages: Vec::new(),
            human: Human::default(),
            keep_audio: true,
        }
    }
}

/// A handle to the simulated Twilio. Cheap to clone; calls run beside each other and share nothing.
#[derive(Clone, Debug)]
pub struct Twilio {
    settings: Arc<Settings>,
    clock: Clock,
    entropy: Arc<Mutex<Entropy>>,
}

impl Twilio {
    /// A Twilio that knows one number.
    pub fn new(settings: Settings, clock: Clock, entropy: Entropy) -> Self {
        Self { settings: Arc::new(settings), clock, entropy: Arc::new(Mutex::new(entropy)) }
    }

    /// Places a call to the number and plays it to its end.
    pub async fn call(&self, caller: CallerScript, options: CallOptions) -> CallReport {
        self.place(caller, options, None).await
    }

    /// Same, and tells what happens while it happens. A receiver that falls behind misses events rather than holding up
    /// the call; the report's timeline has them all.
    pub async fn call_watched(
        &self,
        caller: CallerScript,
        options: CallOptions,
        events: mpsc::Sender<CallEvent>,
    ) -> CallReport {
        self.place(caller, options, Some(events)).await
    }

    async fn place(
        &self,
        caller: CallerScript,
        options: CallOptions,
        watcher: Option<mpsc::Sender<CallEvent>>,
    ) -> CallReport {
        let entropy = self.entropy.lock().unwrap_or_else(PoisonError::into_inner).fork();
        let call = call::Call::new(self.settings.clone(), self.clock, entropy, caller, options, watcher);
        Box::pin(call.run()).await
    }
}
