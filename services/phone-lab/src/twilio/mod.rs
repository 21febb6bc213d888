//! A strict Twilio, as far as a call to the edge needs it, with callers who know what they hear.
//!
//! - [`Twilio`] places calls; what happened is a [`CallReport`].
//! - [`script`] is what a caller is going to do, [`caller`] the caller who does it.
//! - [`webhook`], [`overrides`], [`signature`], [`twiml`], [`interpreter`]: how Twilio asks what to do and does it.
//! - [`media`], [`playout`]: the media stream's messages, and what becomes of the audio.
//! - [`human`]: whoever is dialled.
//! - [`rest`]: the interface by which a server places, redirects and ends calls itself; [`Callee`]s answer them.
//!
//! Rules live in modules that know no socket, task or clock: [`signature`], [`url`], [`overrides`], [`twiml`],
//! [`interpreter`], [`media`], [`playout`], [`script`], [`caller`]. What Twilio would write into its debugger is in the
//! report, and in [`Twilio::debugger`], under the same code ([`codes`]); where Twilio's documentation is silent, the
//! choice is in the code that makes it.

mod call;
mod callbacks;
pub mod caller;
pub mod codes;
mod dtmf;
mod holdings;
pub mod human;
pub mod interpreter;
mod ledger;
pub mod media;
mod outbound;
pub mod overrides;
mod phone;
pub mod playout;
mod recording;
pub mod report;
mod resource;
pub mod rest;
mod ringback;
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

pub(crate) use self::stream::{Manner, Socket, Upgrade};
use self::{
    call::Placed,
    callbacks::{Courier, Event, Progress, Subscription},
    holdings::{Route, Way},
    ledger::{Ledger, Source},
    report::Finding,
    resource::{Direction, Identity, SipCall},
    sid::CallSid,
    twiml::Method,
    url::Url,
    webhook::Client,
};
pub use self::{
    callbacks::Delivery,
    human::{Human, Party},
    ledger::LoggedCode,
    outbound::{AnsweredBy, Callee},
    recording::RecordingOrder,
    report::{CallEnd, CallEvent, CallReport, Clear, DebuggerEntry, Happening, Stretch, Utterance},
    resource::CallStatus,
    script::{CallerScript, ScriptError, Sound},
    stream::{MediaTiming, RawMessage, SecondSocket, SecondSocketEnd, SignedUrl},
    webhook::Signing,
};
use crate::network::Conditions;

/// A Twilio account.
#[derive(Clone)]
pub struct Account {
    /// `AC…`.
    pub account_sid: String,
    /// What signs requests.
    pub auth_token: String,
    /// The one that is to follow it: good for the REST interface, and for signing once it has been promoted.
    pub secondary_token: String,
}

impl Default for Account {
    /// The lab's account, which is nobody's.
    fn default() -> Self {
        Self {
            account_sid: format!("AC{:032}", 0),
            auth_token: "phone-lab-auth-token".to_owned(),
            secondary_token: "phone-lab-secondary-token".to_owned(),
        }
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
    /// Told by POST when a call to the number is over.
    pub status_callback: Option<Url>,
    /// How long the line is silent between a stream and what follows it. Measured calls show some 0.1 to 0.7 s.
    pub gap: Range<Duration>,
    /// What the network to the edge is like, for webhooks and streams; none for loopback as it is.
    pub network: Option<Conditions>,
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
            status_callback: None,
            gap: Duration::from_millis(100)..Duration::from_millis(700),
            network: None,
        }
    }

    /// What asks for one call's documents, or delivers its callbacks.
    fn client(&self, options: &CallOptions, entropy: Entropy) -> Client {
        let (host, account) = (self.voice_url.host().to_owned(), self.account.clone());
        Client::new(self.edge, host, account, options.signing, entropy).over(self.network_of(options).cloned())
    }

    /// What the network to the edge is like in one call.
    fn network_of<'a>(&'a self, options: &'a CallOptions) -> Option<&'a Conditions> {
        options.network.as_ref().or(self.network.as_ref())
    }
}

/// What is special about one call. The default is a call that Twilio has nothing to do with but to carry.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// How webhooks are signed.
    pub signing: Signing,
    /// How the streams' upgrades are signed.
    pub stream_signing: Signing,
    /// How the URL of streams is spelled when it is signed.
    pub stream_signed_url: SignedUrl,
    /// Whether pings on streams go unanswered.
    pub deaf_to_pings: bool,
    /// Whether a first stream whose server breaks the WebSocket protocol (31924) is left standing, mute and deaf, for 30
    /// to 45 s before it is reset, as was once observed. The call goes on meanwhile; its report comes after that.
    pub slow_death: bool,
    /// How evenly the caller's audio is sent on the call's first stream.
    pub media_timing: MediaTiming,
    /// What the caller said before the first stream was up: media in one burst right after `start`.
    pub early_media: Option<Sound>,
    /// A second socket while the first stream is up.
    pub second_socket: Option<SecondSocket>,
    /// The call's first stream is cut without a word after this long.
    pub cut_after: Option<Duration>,
    /// The caller hangs up between the first stream's `connected` and `start`.
    pub hang_up_before_start: bool,
    /// Sent on the call's first stream besides what Twilio sends, each at its time since the stream opened.
    pub extra_messages: Vec<(Duration, RawMessage)>,
    /// Who answers `<Dial>`, if `humans` names nobody.
    pub human: Human,
    /// Who answers it at this number or address; a SIP address without parameters and headers.
    pub humans: Vec<(String, Human)>,
    /// Who takes the call out of a queue, so long after it was enqueued as this human takes to answer; nobody, if it is
    /// one who does not answer.
    pub queue_agent: Option<Human>,
    /// How status callbacks, the call's and its streams', are delivered.
    pub callbacks: Delivery,
    /// Whether each request for a document is sent once more, byte for byte, after it was answered.
    pub replay_webhooks: bool,
    /// Whether a stream that the server closes tells its callback `stream-error` as well. What Twilio does is not
    /// documented.
    pub stream_error_on_close: bool,
    /// Whether `<Dial>`'s action is asked for when the caller hangs up while somebody is being dialled or connected.
    /// What Twilio does is not documented.
    pub dial_action_after_hang_up: bool,
    /// Whether `<Connect>`'s action is asked for as well when REST redirects a call that is streaming, as `<Dial>`'s is.
    /// What Twilio does is not documented.
    pub connect_action_on_redirect: bool,
    /// What the network to the edge is like in this call, instead of [`Settings::network`].
    pub network: Option<Conditions>,
    /// Whether the report keeps both tracks and each utterance's sound: 32 kB for every second of the call.
    pub keep_audio: bool,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            signing: Signing::Right,
            stream_signing: Signing::Right,
            stream_signed_url: SignedUrl::default(),
            deaf_to_pings: false,
            slow_death: false,
            media_timing: MediaTiming::default(),
            early_media: None,
            second_socket: None,
            cut_after: None,
            hang_up_before_start: false,
            extra_messages: Vec::new(),
            human: Human::default(),
            humans: Vec::new(),
            queue_agent: None,
            callbacks: Delivery::default(),
            replay_webhooks: false,
            stream_error_on_close: false,
            dial_action_after_hang_up: false,
            connect_action_on_redirect: false,
            network: None,
            keep_audio: true,
        }
    }
}

/// A handle to the simulated Twilio. Cheap to clone; calls run beside each other and share nothing but the account's
/// books.
#[derive(Clone, Debug)]
pub struct Twilio {
    settings: Arc<Settings>,
    clock: Clock,
    entropy: Arc<Mutex<Entropy>>,
    ledger: Arc<Ledger>,
}

impl Twilio {
    /// A Twilio that knows one number.
    pub fn new(settings: Settings, clock: Clock, entropy: Entropy) -> Self {
        let ledger = Arc::new(Ledger::open(clock));
        Self { settings: Arc::new(settings), clock, entropy: Arc::new(Mutex::new(entropy)), ledger }
    }

    /// The account's debugger: every code of every call and of the REST interface, oldest first. The last 10,000.
    pub fn debugger(&self) -> Vec<LoggedCode> {
        self.ledger.debugger()
    }

    /// The CallSids of the calls that are not over, the newest first.
    pub fn live_calls(&self) -> Vec<String> {
        let live = self.ledger.newest_first().into_iter().filter(|entry| !entry.status.is_over());
        live.map(|entry| entry.identity.call_sid.to_string()).collect()
    }

    /// Ends every call, as the REST interface would. Their reports follow.
    pub(crate) fn end_calls(&self) {
        self.ledger.end_all();
    }

    fn entropy(&self) -> Entropy {
        self.entropy.lock().unwrap_or_else(PoisonError::into_inner).fork()
    }

    /// Where a call goes, and the domain that it is to.
    fn way(&self, to: &str) -> (Route, Option<String>) {
        let settings = &self.settings;
        match self.ledger.holdings().way(to) {
            Way::To(route, domain) => (*route, domain),
            Way::Closed => {
                let detail = "the domain has no credentials of phones that may call it";
                self.ledger.log(None, None, &Finding::new(codes::BAD_SIP_CREDENTIALS, detail));
                (Route::default(), None)
            }
            Way::Unknown => {
                let told = |url: &Url, method| Some((url.clone(), method));
                let voice = told(&settings.voice_url, settings.voice_method);
                let fallback = settings.fallback_url.as_ref().and_then(|url| told(url, settings.voice_method));
                let status_callback = settings.status_callback.as_ref().and_then(|url| told(url, Method::Post));
                (Route { voice, fallback, status_callback }, None)
            }
        }
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
        let mut entropy = self.entropy();
        let settings = self.settings.clone();
        let (route, domain) = self.way(&caller.to);
        let identity = Identity {
            call_sid: CallSid::draw(&mut entropy),
            account_sid: settings.account.account_sid.clone(),
            from: caller.from.clone(),
            to: caller.to.clone(),
            direction: Direction::Inbound,
            parent: None,
            sip: SipCall::to(&caller.to, &caller.sip_headers, domain, &mut entropy),
        };
        let updates = self.ledger.enter(identity.clone(), CallStatus::Ringing, Duration::ZERO);
        let client = settings.client(&options, entropy.fork());
        let courier = Courier::start(client, options.callbacks, self.clock);
        let subscription =
            route.status_callback.map(|(url, method)| Subscription { url, method, events: vec![Event::Completed] });
        let placed = Placed {
            progress: Progress::new(self.ledger.clone(), identity, subscription, courier),
            updates,
            first: match route.voice {
                Some((url, method)) => Source::Url { url, method },
                // Twilio has been seen to end such a call at once, and to log nothing.
                None => Source::Twiml("<Response><Reject/></Response>".to_owned()),
            },
            fallback: route.fallback,
            outbound: None,
            detection: None,
            recording: None,
        };
        let call = call::Call::new(settings, self.clock, entropy, caller, options, watcher, placed);
        Box::pin(call.run()).await
    }
}
