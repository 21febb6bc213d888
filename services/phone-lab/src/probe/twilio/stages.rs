//! The call's documents: each stage is one question, and leads to the next whatever the answer is.

use crate::twilio::url::Url;

/// What is tried in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A redirect by status 302.
    Moved,
    /// A stream in which everything is right but for what is asked, and which the server closes with code 1000.
    Stream,
    /// A stream that the server closes with code 1011.
    ClosedOddly,
    /// A stream whose connection goes without a close frame.
    Dropped,
    /// A stream that is refused with 403.
    Refused,
    /// An error, which leads to the fallback URL.
    Failed,
}

impl Stage {
    /// In this order.
    const ALL: [Self; 6] = [Self::Moved, Self::Stream, Self::ClosedOddly, Self::Dropped, Self::Refused, Self::Failed];

    /// As it is in paths.
    pub(super) fn slug(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Stream => "stream",
            Self::ClosedOddly => "closed-oddly",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    pub(super) fn of_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.slug() == slug)
    }

    /// How the questions about it name it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Moved => "a redirect by 302",
            Self::Stream => "a stream closed with 1000",
            Self::ClosedOddly => "a stream closed with 1011",
            Self::Dropped => "a stream cut by the server",
            Self::Refused => "a stream refused with 403",
            Self::Failed => "a document answered with 500",
        }
    }

    /// The first stage's document.
    pub(super) fn first(url: &Url) -> String {
        Self::Moved.document(url)
    }

    /// The document of the stage after this one; after the last the call ends.
    pub(super) fn next_document(self, url: &Url) -> String {
        let next = Self::ALL.into_iter().skip_while(|&stage| stage != self).nth(1);
        next.map_or_else(|| HANG_UP.to_owned(), |next| next.document(url))
    }

    fn document(self, url: &Url) -> String {
        let (slug, base) = (self.slug(), base(url));
        match self {
            Self::Moved | Self::Failed => format!("<Response><Redirect>{base}/{slug}</Redirect></Response>"),
            Self::Stream | Self::ClosedOddly | Self::Dropped | Self::Refused => {
                let wss = format!("wss://{}", url.authority());
                format!(
                    "<Response><Connect action=\"{base}/after/{slug}/action\"><Stream url=\"{wss}/media/{slug}\" \
                     statusCallback=\"{base}/callback/{slug}\"/></Connect>\
                     <Redirect>{base}/after/{slug}/verb</Redirect></Response>"
                )
            }
        }
    }
}

/// Ends the call.
pub(super) const HANG_UP: &str = "<Response><Hangup/></Response>";

/// The public URL without a path.
pub(super) fn base(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.authority())
}
