//! One agent: what it is told about itself, how it sounds, which calls are its own, and who stands behind it.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::{
    Beside,
    read::{Fields, Mistakes},
    values::{AgentName, NotThat, PhoneNumber, SipDomain, SipUri, VoiceName},
    yaml::{At, Entry},
};

/// Characters of a prompt. A long one delays the first word by seconds.
const LONGEST_PROMPT: usize = 40_000;
/// Characters of a sentence that is said at once.
const LONGEST_SENTENCE: usize = 1_000;
/// Characters of the line for robots that screen calls: they cut longer ones short.
const LONGEST_INTRODUCTION: usize = 300;
/// Numbers of one agent, and SIP domains.
const MOST_ADDRESSES: usize = 1_000;
/// Seconds that a human's phone rings where the file does not say.
const RING_SECONDS: u16 = 20;
const DEFAULT_VOICE: &str = "matthew";

/// An agent.
#[derive(Clone, PartialEq, Eq)]
pub struct Agent {
    /// What it is called, in URLs, records and metrics.
    pub name: AgentName,
    /// Who it is and how it behaves.
    pub prompt: String,
    /// How it sounds.
    pub voice: VoiceName,
    /// What it says first. `None`: what the prompt makes it say.
    pub greeting: Option<String>,
    /// What a robot that screens calls is told, where the agent has called. `None`: nothing of the file's.
    pub introduction: Option<String>,
    /// What it leaves on an answering machine, after the beep. `None`: nothing of the file's.
    pub voicemail: Option<String>,
    /// Calls to these are its own.
    pub numbers: Vec<PhoneNumber>,
    /// Calls to these are its own.
    pub sip_domains: Vec<SipDomain>,
    /// The human behind it. `None`: there is none.
    pub transfer: Option<Transfer>,
    /// What becomes of a caller whom no worker can take.
    pub fallback: Fallback,
    /// What is said for it when it cannot speak.
    pub sentences: Sentences,
}

/// How a call is handed to a human.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Who is dialled.
    pub to: Target,
    /// How long their phone rings: 5 to 600 seconds (Twilio docs, `<Dial>`, `timeout`).
    pub ring_seconds: u16,
    /// Whether they have to press 1 before the caller is put through. An answering machine cannot.
    pub screen: bool,
    /// The number that they see, where they are dialled by number. `None`: the caller's.
    pub caller_id: Option<PhoneNumber>,
}

/// Who is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By SIP.
    Sip(SipUri),
    /// By telephone.
    Number(PhoneNumber),
}

/// What becomes of a caller whom no worker can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The human is dialled; there is one.
    Human,
    /// They wait, with music, until a worker has room.
    Queue,
    /// They hear the busy tone, and nobody pays.
    Busy,
    /// They hear a sentence.
    Apology,
}

/// What is said for an agent, by Twilio, when it cannot speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentences {
    /// To a caller who cannot be served.
    pub apology: String,
    /// To a caller who has to wait until a worker has room, before the music.
    pub please_wait: String,
    /// To a caller who cannot be served, before a human's phone rings.
    pub hand_over: String,
    /// To a caller who does not answer any more.
    pub farewell_silence: String,
    /// To a caller whose call has been as long as it may be.
    pub farewell_time_up: String,
}

impl Agent {
    /// The built-in agent: the front desk of a small hotel.
    pub fn demo(human: Option<&SipUri>) -> Self {
        let transfer = human.map(Transfer::to_human);
        Self {
            name: "demo".parse().expect("it is a name"),
            prompt: "You answer the phone at the front desk of a small hotel. When the call connects, greet the \
                caller in one short sentence and ask how you can help. Speak in short, friendly sentences, as one \
                does on the phone, and never read out lists or symbols. Before you use a tool, say in a few words \
                that you are looking it up. Ask for the reservation number before you cancel a reservation, and \
                repeat it. If you cannot help, or the caller asks for a person, offer to connect them. When the \
                caller has nothing left to ask, say goodbye and hang up."
                .to_owned(),
            voice: DEFAULT_VOICE.parse().expect("it is a voice"),
            greeting: None,
            introduction: None,
            voicemail: None,
            numbers: Vec::new(),
            sip_domains: Vec::new(),
            fallback: Fallback::default_with(transfer.is_some()),
            transfer,
            sentences: Sentences::default(),
        }
    }
}

/// Neither texts nor numbers nor addresses: they may be long, or a person's.
impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &mut f.debug_struct("Agent");
        shown.field("name", &self.name).field("voice", &self.voice).field("fallback", &self.fallback);
        shown.field("transfer", &self.transfer).finish_non_exhaustive()
    }
}

impl Transfer {
    /// To somebody of whom only the address is known. They may be a switchboard that presses no keys.
    pub fn to_human(sip: &SipUri) -> Self {
        Self { to: Target::Sip(sip.clone()), ring_seconds: RING_SECONDS, screen: false, caller_id: None }
    }
}

impl Fallback {
    fn default_with(human: bool) -> Self {
        if human { Self::Human } else { Self::Apology }
    }
}

impl FromStr for Fallback {
    type Err = NotThat;

    fn from_str(text: &str) -> Result<Self, NotThat> {
        match text {
            "human" => Ok(Self::Human),
            "queue" => Ok(Self::Queue),
            "busy" => Ok(Self::Busy),
            "apology" => Ok(Self::Apology),
            _ => Err(NotThat("human, queue, busy or apology")),
        }
    }
}

impl FromStr for Target {
    type Err = NotThat;

    fn from_str(text: &str) -> Result<Self, NotThat> {
        let sip = || text.parse().map(Self::Sip);
        let number = || text.parse().map(Self::Number);
        sip().or_else(|_: NotThat| number()).map_err(|_: NotThat| {
            NotThat("a SIP URI such as sip:help@example.com (under 255 characters) or a number such as +15005550006")
        })
    }
}

impl Default for Sentences {
    fn default() -> Self {
        Self {
            apology: "We are sorry, we cannot help you right now. Please call again in a few minutes. Goodbye."
                .to_owned(),
            please_wait: "All our lines are busy. Please hold the line, we will be with you soon.".to_owned(),
            hand_over: "I am sorry, I cannot go on. Please hold the line while I connect you to a colleague."
                .to_owned(),
            farewell_silence: "We cannot hear you, so we end this call. Please call again at any time. Goodbye."
                .to_owned(),
            farewell_time_up: "The time for this call is over. Please call again if there is more we can do. Goodbye."
                .to_owned(),
        }
    }
}

/// Where an agent claims its addresses, for telling who claims one that another has.
pub(crate) struct Claims {
    numbers: Vec<At>,
    sip_domains: Vec<At>,
    name: At,
}

/// `None`, and mistakes, where the entry is no agent.
pub(crate) fn read(entry: &Entry, human: Beside<'_>, found: &mut Mistakes) -> Option<(Agent, Claims)> {
    let shown: String = entry.key.text.chars().take(64).filter(|c| !c.is_control()).collect();
    let path = format!("agents.{shown}");
    let name = entry.key.text.parse();
    let name = name.map_err(|wrong: NotThat| found.add(path.as_str(), Some(entry.key.at), wrong.to_string())).ok();
    let mut fields = Fields::of(path.as_str(), &entry.value, found)?;
    let prompt = fields.required_text("prompt", LONGEST_PROMPT, found);
    let voice = fields.parsed("voice", found);
    let mut sentence = |name, most| fields.text(name, most, found).map(|text| text.text);
    let greeting = sentence("greeting", LONGEST_SENTENCE);
    let introduction = sentence("introduction", LONGEST_INTRODUCTION);
    let voicemail = sentence("voicemail", LONGEST_SENTENCE);
    let (numbers, numbers_at) = fields.list("numbers", MOST_ADDRESSES, found).into_iter().unzip();
    let (sip_domains, sip_domains_at) = fields.list("sip_domains", MOST_ADDRESSES, found).into_iter().unzip();
    let own = fields.take("transfer");
    let transfer = own.map(|own| read_transfer(&format!("{path}.transfer"), own, found));
    let says_fallback = fields.take("fallback");
    let fallback = says_fallback.and_then(|says| crate::read::parse(&format!("{path}.fallback"), says, found));
    let sentences = match fields.take("sentences") {
        Some(own) => read_sentences(&format!("{path}.sentences"), own, found),
        None => Sentences::default(),
    };
    fields.finish(found);
    let (transfer, may_have_human) = match (transfer, human) {
        (Some(transfer), _) => (transfer, true),
        (None, Beside::Human(human)) => (Some(Transfer::to_human(human)), true),
        (None, Beside::Nobody) => (None, false),
        (None, Beside::NotKnown) => (None, fallback == Some(Fallback::Human)),
    };
    if fallback == Some(Fallback::Human) && !may_have_human {
        let problem = "there is no human: give the agent a `transfer`, or set SIP_ENDPOINT";
        found.add(format!("{path}.fallback"), says_fallback.map(|says| says.at), problem);
    }
    let agent = Agent {
        name: name?,
        prompt: prompt?.text,
        voice: voice.unwrap_or_else(|| DEFAULT_VOICE.parse().expect("it is a voice")),
        greeting,
        introduction,
        voicemail,
        numbers,
        sip_domains,
        fallback: fallback.unwrap_or(Fallback::default_with(transfer.is_some())),
        transfer,
        sentences,
    };
    Some((agent, Claims { numbers: numbers_at, sip_domains: sip_domains_at, name: entry.key.at }))
}

fn read_transfer(path: &str, own: &crate::yaml::Placed, found: &mut Mistakes) -> Option<Transfer> {
    let mut fields = Fields::of(path, own, found)?;
    let to_was = fields.required("to", found);
    let to: Option<Target> = to_was.and_then(|to| crate::read::parse(&fields.place("to"), to, found));
    let ring = fields.parsed("ring_seconds", found).map_or(RING_SECONDS, |RingSeconds(seconds)| seconds);
    let screen = fields.parsed("screen", found).map(|Flag(flag)| flag);
    let caller_id_was = fields.take("caller_id");
    let caller_id = caller_id_was.and_then(|was| crate::read::parse(&fields.place("caller_id"), was, found));
    if let (Some(Target::Sip(_)), Some(was)) = (&to, caller_id_was) {
        found.add(fields.place("caller_id"), Some(was.at), "this is for numbers only: leave it out, or dial a number");
    }
    fields.finish(found);
    let to = to?;
    // A mobile phone that nobody takes is answered by its mailbox, which would swallow the caller.
    let screen = screen.unwrap_or(matches!(to, Target::Number(_)));
    Some(Transfer { to, ring_seconds: ring, screen, caller_id })
}

fn read_sentences(path: &str, own: &crate::yaml::Placed, found: &mut Mistakes) -> Sentences {
    let mut sentences = Sentences::default();
    let Some(mut fields) = Fields::of(path, own, found) else { return sentences };
    let own = [
        ("apology", &mut sentences.apology),
        ("please_wait", &mut sentences.please_wait),
        ("hand_over", &mut sentences.hand_over),
        ("farewell_silence", &mut sentences.farewell_silence),
        ("farewell_time_up", &mut sentences.farewell_time_up),
    ];
    for (name, sentence) in own {
        if let Some(text) = fields.text(name, LONGEST_SENTENCE, found) {
            *sentence = text.text;
        }
    }
    fields.finish(found);
    sentences
}

/// Tells of names, numbers and SIP domains that two agents have, or one twice.
pub(crate) fn find_what_two_claim(agents: &[(Agent, Claims)], found: &mut Mistakes) {
    let mut claimed: BTreeMap<&str, &AgentName> = BTreeMap::new();
    let mut names: BTreeMap<&AgentName, At> = BTreeMap::new();
    for (agent, claims) in agents {
        if names.insert(&agent.name, claims.name).is_some() {
            found.add(format!("agents.{}", agent.name), Some(claims.name), "there are two agents of this name");
            continue;
        }
        let numbers = agent.numbers.iter().map(PhoneNumber::as_str).zip(&claims.numbers);
        let domains = agent.sip_domains.iter().map(SipDomain::as_str).zip(&claims.sip_domains);
        let all = numbers.map(|one| ("numbers", one)).chain(domains.map(|one| ("sip_domains", one)));
        for (field, (value, at)) in all {
            if let Some(first) = claimed.insert(value, &agent.name) {
                let problem = format!("the agent {first} has this one: keep it in one place");
                found.add(format!("agents.{}.{field}", agent.name), Some(*at), problem);
            }
        }
    }
}

struct RingSeconds(u16);

impl FromStr for RingSeconds {
    type Err = NotThat;

    fn from_str(text: &str) -> Result<Self, NotThat> {
        let seconds = text.parse().ok().filter(|seconds| (5..=600).contains(seconds));
        seconds.map(Self).ok_or(NotThat("5 to 600 seconds, as a whole number"))
    }
}

struct Flag(bool);

impl FromStr for Flag {
    type Err = NotThat;

    fn from_str(text: &str) -> Result<Self, NotThat> {
        text.parse().map(Self).map_err(|_| NotThat("true or false"))
    }
}
