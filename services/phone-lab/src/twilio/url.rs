//! URLs as Twilio treats them: kept byte for byte, because every byte is signed.

use std::fmt;

/// An absolute URL. Userinfo and fragment are kept apart: neither is ever signed, shown or sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    host: String,
    port: Option<u16>,
    target: String,
    userinfo: Option<String>,
    fragment: Option<String>,
}

/// Why a text is no URL that Twilio would request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// There is no `scheme://`.
    #[error("no scheme")]
    NoScheme,
    /// There is no host, or a port that is no number.
    #[error("no host, or a port that is no number")]
    Authority,
    /// A space, a control character or a character outside ASCII.
    #[error("a character that must be percent-encoded")]
    Character,
}

impl Url {
    /// Reads an absolute URL.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UrlError::Character);
        }
        let (text, fragment) = match text.split_once('#') {
            Some((text, fragment)) => (text, Some(fragment.to_owned())),
            None => (text, None),
        };
        let (scheme, rest) = split_scheme(text).ok_or(UrlError::NoScheme)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (userinfo, authority) = match authority.rsplit_once('@') {
            Some((userinfo, authority)) => (Some(userinfo.to_owned()), authority),
            None => (None, authority),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| UrlError::Authority)?)),
            None => (authority, None),
        };
        if host.is_empty() {
            return Err(UrlError::Authority);
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { scheme: scheme.to_ascii_lowercase(), host: host.to_owned(), port, target, userinfo, fragment })
    }

    /// Reads an absolute URL, or one relative to this.
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        if Self::is_absolute(reference) {
            return Self::parse(reference);
        }
        let origin = format!("{}://{}", self.scheme, self.authority());
        let path = self.path();
        match reference {
            _ if reference.starts_with("//") => Self::parse(&format!("{}:{reference}", self.scheme)),
            _ if reference.starts_with('/') => Self::parse(&format!("{origin}{reference}")),
            "" => Ok(self.clone()),
            _ if reference.starts_with('?') => Self::parse(&format!("{origin}{path}{reference}")),
            _ => {
                let directory = &path[..=path.rfind('/').unwrap_or_default()];
                Self::parse(&format!("{origin}{directory}{reference}"))
            }
        }
    }

    /// Whether a reference begins with a scheme. A relative one may hold a whole URL in its query.
    pub fn is_absolute(reference: &str) -> bool {
        split_scheme(reference).is_some()
    }

    /// Whether this is the host, however it is spelled.
    pub fn is_on(&self, host: &str) -> bool {
        self.host.eq_ignore_ascii_case(host)
    }

    /// The scheme, in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The host, without a port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Name and password, as written, for a server that asks for them.
    pub fn userinfo(&self) -> Option<&str> {
        self.userinfo.as_deref()
    }

    /// What stands after the `#`: see [`super::overrides`].
    pub fn fragment(&self) -> Option<&str> {
        self.fragment.as_deref()
    }

    /// What stands in the `Host` header: the host, and a port that is not the scheme's own.
    pub fn authority(&self) -> String {
        match (self.port, self.scheme.as_str()) {
            (None | Some(443), "https" | "wss") | (None | Some(80), "http" | "ws") | (None, _) => self.host.clone(),
            (Some(port), _) => format!("{}:{port}", self.host),
        }
    }

    /// Path and query: the request target.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The path alone.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The same with another scheme.
    pub fn with_scheme(&self, scheme: &str) -> Self {
        Self { scheme: scheme.to_owned(), ..self.clone() }
    }

    /// The same without its query.
    pub fn without_query(&self) -> Self {
        Self { target: self.path().to_owned(), ..self.clone() }
    }

    /// The same with more pairs in the query.
    pub fn with_query(&self, pairs: &[(String, String)]) -> Self {
        if pairs.is_empty() {
            return self.clone();
        }
        let added = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let separator = if self.query().is_some() { '&' } else { '?' };
        Self { target: format!("{}{separator}{added}", self.target), ..self.clone() }
    }

    /// What is signed: over https without the port, otherwise as written (Twilio docs, "Security", notes).
    pub fn signed(&self) -> String {
        match self.port {
            Some(port) if self.scheme != "https" => format!("{}://{}:{port}{}", self.scheme, self.host, self.target),
            Some(_) | None => format!("{}://{}{}", self.scheme, self.host, self.target),
        }
    }
}

/// A scheme, and what follows `://` (RFC 3986, section 3.1).
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let fits = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    fits.then_some((scheme, rest))
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority(), self.target)
    }
}

/// Without the password.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_reference_is_resolved_against_the_documents_url() {
        let base = url("https://voice.example.test/calls/incoming?x=1");
        for (reference, resolved) in [
            ("/stream-ended", "https://voice.example.test/stream-ended"),
            ("next?y=2", "https://voice.example.test/calls/next?y=2"),
            ("?y=2", "https://voice.example.test/calls/incoming?y=2"),
            ("", "https://voice.example.test/calls/incoming?x=1"),
            ("//other.example.test/a", "https://other.example.test/a"),
            ("/next?to=https://a.test/", "https://voice.example.test/next?to=https://a.test/"),
            ("HTTP://a.test/", "http://a.test/"),
            ("wss://voice.example.test/media#rc=2", "wss://voice.example.test/media"),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), resolved, "{reference}");
        }
    }

    #[test]
    fn userinfo_fragment_and_over_https_the_port_are_not_signed() {
        assert_eq!(url("https://user:pass@example.test:8443/a?b='#ct=1").signed(), "https://example.test/a?b='");
        assert_eq!(url("http://user@example.test:1234/a").signed(), "http://example.test:1234/a");
        assert_eq!(url("wss://example.test:8443/a").signed(), "wss://example.test:8443/a");
    }

    #[test]
    fn the_host_header_leaves_out_the_schemes_own_port() {
        assert_eq!(url("https://example.test:443/").authority(), "example.test");
        assert_eq!(url("https://example.test:8443/").authority(), "example.test:8443");
        assert!(url("https://Example.Test/").is_on("example.test") && !url("https://a.test/").is_on("b.test"));
    }

    #[test]
    fn what_is_no_url_says_why() {
        assert_eq!(Url::parse("voice.example.test/a"), Err(UrlError::NoScheme));
        assert_eq!(Url::parse("/next?to=https://a.test/"), Err(UrlError::NoScheme));
        assert_eq!(Url::parse("https:///a"), Err(UrlError::Authority));
        assert_eq!(Url::parse("https://a:b/"), Err(UrlError::Authority));
        assert_eq!(Url::parse("https://a/b c"), Err(UrlError::Character));
    }
}
