//! The model sessions of a call: the one that is live, the one that is to follow it, the one before, and those that end.
//!
//! A session lives for eight minutes at most, and may break at any time. So there is a next one before it is needed, and
//! the last one stays until the new one has shown that it hears.

use std::{
    fmt,
    time::{Duration, Instant},
};

use offhook_hosting::entropy::Entropy;

use super::Limits;
use crate::nova::{ClientEvent, Session, Setup, Told, Usage};

/// Credentials are left this long before they expire, or when a quarter of their life is left.
const BEFORE_EXPIRY: Duration = Duration::from_secs(180);
/// A prepared session hears nothing, and what hears nothing is ended by the service after 55 s.
const READY_FOR: Duration = Duration::from_secs(30);
/// How long the last session stays if nobody says anything that would show whether the new one hears.
const PROVEN_WITHIN: Duration = Duration::from_secs(10);
/// A session that has not understood what the last one has, so long after it, is deaf.
const DEAF_AFTER: Duration = Duration::from_secs(3);
/// What the last session says meanwhile is kept so far, in pieces.
const MOST_KEPT: usize = 600;

/// Names a model session among those of a leg, in the order in which they were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionNo(u32);

#[cfg(test)]
impl From<u32> for SessionNo {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

impl fmt::Display for SessionNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One model session.
#[derive(Debug)]
pub(super) struct ModelSession {
    pub(super) no: SessionNo,
    pub(super) wire: Session,
    /// When it was asked for; the service counts its age from about then.
    asked_at: Instant,
    pub(super) credentials_expire: Option<Instant>,
    pub(super) usage: Usage,
    /// It has said something since it became the live one.
    pub(super) has_answered: bool,
}

impl ModelSession {
    /// When its successor is to be made ready.
    pub(super) fn renew_at(&self, limits: &Limits) -> Instant {
        let by_age = self.asked_at + limits.renew_after;
        self.expires().map_or(by_age, |(at, margin)| by_age.min(at - margin))
    }

    /// When it is left, whatever is being said.
    pub(super) fn leave_by(&self, limits: &Limits) -> Instant {
        let by_age = self.asked_at + limits.renewal_deadline();
        self.expires().map_or(by_age, |(at, margin)| by_age.min(at - margin / 4))
    }

    /// From when on it is left as soon as nobody speaks, also while the agent's last words are still being played.
    pub(super) fn leave_in_haste_at(&self, limits: &Limits) -> Instant {
        let (renew_at, leave_by) = (self.renew_at(limits), self.leave_by(limits));
        renew_at + leave_by.saturating_duration_since(renew_at) / 2
    }

    fn expires(&self) -> Option<(Instant, Duration)> {
        let at = self.credentials_expire?;
        Some((at, BEFORE_EXPIRY.min(at.saturating_duration_since(self.asked_at) / 4)))
    }
}

/// The session that is to follow.
#[derive(Debug)]
pub(super) enum Next {
    /// It is asked for at this time.
    Pausing { at: Instant, elsewhere: bool },
    /// It has been asked for.
    Opening(ModelSession),
    /// It knows who it is, and waits.
    Ready { session: ModelSession, since: Instant },
}

impl Next {
    pub(super) fn into_session(self) -> Option<ModelSession> {
        match self {
            Self::Pausing { .. } => None,
            Self::Opening(session) | Self::Ready { session, .. } => Some(session),
        }
    }

    fn session(&self) -> Option<&ModelSession> {
        match self {
            Self::Pausing { .. } => None,
            Self::Opening(session) | Self::Ready { session, .. } => Some(session),
        }
    }
}

/// The session before, which goes on hearing the caller until the new one has shown that it does.
#[derive(Debug)]
pub(super) struct Former {
    pub(super) session: ModelSession,
    until: Instant,
    /// It cannot stay for longer.
    last: Instant,
    /// What it has said since; nobody hears it, unless the new one fails.
    pub(super) told: Vec<Told>,
    /// When it understood something that the caller said.
    pub(super) understood_at: Option<Instant>,
}

impl Former {
    pub(super) fn new(session: ModelSession, limits: &Limits, now: Instant) -> Self {
        let by_age = session.asked_at + (limits.renewal_deadline() + limits.session_limit) / 2;
        let last = session.expires().map_or(by_age, |(at, margin)| by_age.min(at - margin / 8));
        let last = last.max(now);
        Self { until: last.min(now + PROVEN_WITHIN), last, session, told: Vec::new(), understood_at: None }
    }

    /// It understood something that the caller said, and stays until it is clear whether its successor did.
    pub(super) fn understood(&mut self, now: Instant) {
        let at = *self.understood_at.get_or_insert(now);
        self.until = self.until.max(at + DEAF_AFTER).min(self.last);
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until <= now || self.told.len() > MOST_KEPT
    }

    /// When a successor that has said nothing by then is deaf.
    pub(super) fn proves_deafness_at(&self) -> Option<Instant> {
        self.understood_at.map(|at| at + DEAF_AFTER)
    }
}

/// A session that was told to end.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) session: ModelSession,
    pub(super) until: Instant,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    opened: u32,
    pub(super) current: Option<ModelSession>,
    pub(super) next: Option<Next>,
    pub(super) former: Option<Former>,
    pub(super) ending: Vec<Ending>,
}

/// Which of them a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Current,
    Next,
    Former,
    Ending,
}

impl Sessions {
    /// A new session, to be asked for with these events.
    pub(super) fn open(&mut self, setup: &Setup, entropy: Entropy, now: Instant) -> (ModelSession, Vec<ClientEvent>) {
        self.opened += 1;
        let (wire, opening) = Session::open(setup, entropy);
        let session = ModelSession {
            no: SessionNo(self.opened),
            wire,
            asked_at: now,
            credentials_expire: None,
            usage: Usage::default(),
            has_answered: false,
        };
        (session, opening)
    }

    /// Where the session is; `None` if it is none of them, or no more.
    pub(super) fn place(&self, no: SessionNo) -> Option<Place> {
        let is = |session: &ModelSession| session.no == no;
        if self.current.as_ref().is_some_and(is) {
            Some(Place::Current)
        } else if self.former.as_ref().is_some_and(|former| is(&former.session)) {
            Some(Place::Former)
        } else if self.next.as_ref().and_then(Next::session).is_some_and(is) {
            Some(Place::Next)
        } else {
            self.ending.iter().any(|ending| is(&ending.session)).then_some(Place::Ending)
        }
    }

    /// Takes out a session that has ended.
    pub(super) fn remove(&mut self, no: SessionNo) -> Option<(Place, ModelSession)> {
        let place = self.place(no)?;
        let session = match place {
            Place::Current => self.current.take(),
            Place::Former => self.former.take().map(|former| former.session),
            Place::Next => self.next.take().and_then(Next::into_session),
            Place::Ending => {
                let at = self.ending.iter().position(|ending| ending.session.no == no)?;
                Some(self.ending.remove(at).session)
            }
        };
        session.map(|session| (place, session))
    }

    /// Takes out all that have not been told to end.
    pub(super) fn take_open(&mut self) -> Vec<ModelSession> {
        let former = self.former.take().map(|former| former.session);
        let next = self.next.take().and_then(Next::into_session);
        self.current.take().into_iter().chain(former).chain(next).collect()
    }

    /// The session, wherever it is.
    pub(super) fn get_mut(&mut self, no: SessionNo) -> Option<&mut ModelSession> {
        let former = self.former.as_mut().map(|former| &mut former.session);
        let next = self.next.as_mut().and_then(|next| match next {
            Next::Pausing { .. } => None,
            Next::Opening(session) | Next::Ready { session, .. } => Some(session),
        });
        let ending = self.ending.iter_mut().map(|ending| &mut ending.session);
        self.current.iter_mut().chain(former).chain(next).chain(ending).find(|session| session.no == no)
    }

    /// Those that hear the caller.
    pub(super) fn listening(&self) -> impl Iterator<Item = &ModelSession> {
        self.current.iter().chain(self.former.as_ref().map(|former| &former.session))
    }

    /// When something may be due here.
    pub(super) fn deadlines(&self, limits: &Limits) -> impl Iterator<Item = Instant> {
        let next = match (&self.next, &self.current) {
            (Some(Next::Pausing { at, .. }), _) => [Some(*at), None, None],
            (Some(Next::Ready { since, .. }), Some(current)) => {
                [*since + READY_FOR, current.leave_by(limits), current.leave_in_haste_at(limits)].map(Some)
            }
            (None, Some(current)) => [Some(current.renew_at(limits)), None, None],
            (Some(Next::Opening(_) | Next::Ready { .. }) | None, _) => [None; 3],
        };
        let former = self.former.iter().flat_map(|former| [Some(former.until), former.proves_deafness_at()]);
        let ending = self.ending.iter().map(|ending| ending.until);
        next.into_iter().chain(former).flatten().chain(ending)
    }
}

/// Whether a session that has been ready since then is too old to be used.
pub(super) fn is_stale(since: Instant, now: Instant) -> bool {
    since + READY_FOR <= now
}
